"""The arms of a regression that predict worse than a constant would: differences between them mean little."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.names import metric_label
from federated.report.findings.by_seed import outcomes_of
from federated.report.findings.results import RunResult, arms_of

_MOST_NAMED = 3


def below_the_mean(results: Sequence[RunResult], metric: str) -> list[str]:
    """One sentence on the arms and anchors whose R² is below 0 in the mean over seeds; none where `metric` is no R²."""
    if not metric.endswith("_r2"):
        return []
    runs = [run for run in results if run.main_metric == metric]
    scores = {arm: list(outcomes_of(runs, arm).scores.values()) for arm in arms_of(runs)}
    below = [arm for arm, found in scores.items() if found and sum(found) < 0]
    if not below:
        return []
    more = f"; and {len(below) - _MOST_NAMED} more" if len(below) > _MOST_NAMED else ""
    named = "; ".join(below[:_MOST_NAMED]) + more
    constant = f"the mean of the held-out targets for every example ({metric_label(metric)} below 0)"
    return [f"Worse than predicting {constant}: {named}."]
