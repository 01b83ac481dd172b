"""Words for the choice of an arm, and for how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from federated.metrics.names import metric_label
from federated.tuning.found import ArmTuning


def in_words(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.05, mu 0.01`."""
    return ", ".join(f"{path.rpartition('.')[2]} {shown(value)}" for path, value in values.items())


def shown(value: Any) -> str:
    """A value to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def chosen_in_words(found: ArmTuning) -> str:
    """`fedavg chose learning_rate 0.2244 in 20 trials: tuning accuracy 0.785 with 3 further seeds`."""
    if not found.trials:
        return f"{found.arm}: nothing to choose"
    count = f"{len(found.trials)} trial{'' if len(found.trials) == 1 else 's'}"
    if not found.choice:
        why = (
            f"no finalist of {count} ended with a score with every further seed"
            if found.finalists
            else f"none of {count} went to its end with a score"
        )
        return f"{found.arm}: {why}, so it runs as it is stated"
    said = f"{found.arm} chose {in_words(found.choice)} in {count}"
    if found.best_first:
        best = found.best_first[0]
        further = f"{len(best.scores)} further seed{'' if len(best.scores) == 1 else 's'}"
        said += f": {metric_label(found.metric)} {best.mean:.4g} with {further}"
    return said


def certainty(found: ArmTuning) -> str:
    """How sure the choice is: by how much it is better than the next finalist, seed by seed."""
    differences = np.array(found.runner_up)
    if not found.choice:
        return "no choice"
    if not len(differences):
        return "the only one that was left"
    won = int((differences > 0).sum())
    spread = f" ± {differences.std(ddof=1):.2g}" if len(differences) > 1 else ""
    return (
        f"{differences.mean():+.2g}{spread} against the next, better with {won} of {len(differences)} seeds"
    )


def trials_in_words(found: ArmTuning) -> str:
    """`20, 9 pruned, 1 diverged`."""
    ends = ("pruned", "diverged", "failed")
    counts = {how: sum(trial.ended == how for trial in found.trials) for how in ends}
    return ", ".join([str(len(found.trials)), *(f"{count} {how}" for how, count in counts.items() if count)])
