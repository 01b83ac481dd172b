"""Sentences that place arms between anchors: the share of the gap closed, and what a constant prediction reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from federated.federation.profile import CONSTANT_ACCURACY
from federated.metrics.names import metric_label
from federated.report.findings.by_seed import outcomes_of
from federated.report.findings.gap_closed import GapClosed
from federated.report.findings.results import RunResult, arms_of
from federated.report.text.numbers_as_text import number, with_interval
from federated.report.text.phrases import first_few, share_text

_R2, _ACCURACY = "generalisation/test_r2", "generalisation/test_accuracy"
_PREDICTIONS = {_R2: "the mean of the held-out targets", _ACCURACY: "the most frequent class"}


def gap_sentences(results: Sequence[RunResult], closed: dict[str, GapClosed], best: str) -> list[str]:
    """The share of the anchors' gap that the best arm closes, with what makes it doubtful; arms without such a gap."""
    said = []
    if best in closed and closed[best].share is not None:
        said.append(_share_closed(results, closed[best]))
    if without := [each for each in closed.values() if each.share is None and each.seeds]:
        named = first_few(
            [f"{each.arm} ({with_interval(each.gap or 0.0, each.ends, signed=True)})" for each in without]
        )
        said.append(
            "No share of a gap is shown, because centralised training is not better than local training by more than "
            f"the noise between seeds (centralised minus local): {named}."
        )
    return said


def _share_closed(results: Sequence[RunResult], closed: GapClosed) -> str:
    gap = f"the gap of {number(closed.gap, 3)} between local and centralised training"
    share, interval = share_text(closed), closed.interval
    if interval is not None and not all(map(math.isfinite, interval)):
        return f"These seeds do not show what share of {gap} {closed.arm} closes: the estimate is {share}."
    (key,) = {run.anchor_key for run in results if run.arm == closed.arm}
    local = [run for run in results if run.anchor == "local" and run.anchor_key == key]
    if local and worse_than_constant(local):
        prediction = _PREDICTIONS[local[0].main_metric]
        return (
            f"The share of the gap closed says little here, because local training is no better than always predicting "
            f"{prediction}: {closed.arm} closes {share} of {gap}."
        )
    return f"{closed.arm} closes {share} of {gap}."


def constant_sentences(results: Sequence[RunResult], metric: str) -> list[str]:
    """One sentence on the arms and anchors that are no better than a constant prediction; none where none is."""
    runs = [run for run in results if run.main_metric == metric]
    worse = [arm for arm in arms_of(runs) if worse_than_constant([run for run in runs if run.arm == arm])]
    if not worse:
        return []
    limit = "" if metric == _ACCURACY else f" ({metric_label(metric)} below 0)"
    return [f"No better than always predicting {_PREDICTIONS[metric]}{limit}: {first_few(worse)}."]


def worse_than_constant(runs: Sequence[RunResult]) -> bool:
    """Whether an arm's mean score is below that of a constant prediction: R² below 0, or an accuracy that is not above
    the share of the most frequent class. False where that share is not known.
    """
    scores = outcomes_of(runs, runs[0].arm).scores
    if not scores:
        return False
    if runs[0].main_metric == _R2:
        return sum(scores.values()) < 0
    known = [run for run in runs if run.main_metric == _ACCURACY and CONSTANT_ACCURACY in run.data]
    gained = [scores[run.seed] - run.data[CONSTANT_ACCURACY] for run in known if run.seed in scores]
    return bool(gained) and float(np.mean(gained)) <= 0
