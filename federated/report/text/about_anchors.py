"""Sentences that place arms between anchors: the share of the gap closed, and what a constant prediction reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from federated.report.findings.gap_closed import GapClosed
from federated.report.findings.results import RunResult, arms_of
from federated.report.questions.constants import worse_than_constant
from federated.report.text.numbers_as_text import decimals_of, number, with_interval
from federated.report.text.phrases import first_few, share_text


def gap_sentences(results: Sequence[RunResult], closed: dict[str, GapClosed], best: str) -> list[str]:
    """The share of the anchors' gap that the best arm closes, with what makes it doubtful; arms without such a gap."""
    said = []
    if best in closed and closed[best].share is not None:
        said.append(_share_closed(results, closed[best]))
    if without := [each for each in closed.values() if each.share is None and each.seeds]:
        metric = {run.arm: run.main_metric for run in results}
        named = first_few([f"{each.arm} ({_gap_text(each, metric[each.arm])})" for each in without])
        said.append(
            "No share of a gap is shown, because centralised training is not better than local training by more than "
            f"the noise between seeds (by how much it is better; below 0: worse): {named}."
        )
    return [*said, *_different_anchors(results, closed)]


def _gap_text(closed: GapClosed, metric: str) -> str:
    return with_interval(closed.gap, closed.ends, decimals_of(metric, closed.gap), signed=True)


def _different_anchors(results: Sequence[RunResult], closed: dict[str, GapClosed]) -> list[str]:
    """A warning where shares are of different gaps, so that they cannot be compared between arms."""
    keys = {run.anchor_key for run in results if run.arm in closed and closed[run.arm].share is not None}
    if len(keys) < 2:
        return []
    return [
        "Arms have different anchors here, so shares of the gap are of different gaps: a larger share does not mean a "
        "better arm."
    ]


def _share_closed(results: Sequence[RunResult], closed: GapClosed) -> str:
    metric = next(run.main_metric for run in results if run.arm == closed.arm)
    gap = f"the gap of {number(closed.gap, decimals_of(metric, closed.gap))} between local and centralised training"
    share, interval = share_text(closed), closed.interval
    if interval is not None and not all(map(math.isfinite, interval)):
        return f"These seeds do not show what share of {gap} {closed.arm} closes: the estimate is {share}."
    (key,) = {run.anchor_key for run in results if run.arm == closed.arm}
    local = [run for run in results if run.anchor == "local" and run.anchor_key == key]
    if local and worse_than_constant(local, local[0].arm, local[0].main_metric):
        return (
            "The share of the gap closed says little here, because local training is no better than giving every "
            f"example the same answer: {closed.arm} closes {share} of {gap}."
        )
    beyond = (
        "; a share above 1 is ahead of centralised training"
        if closed.share is not None and closed.share > 1
        else ""
    )
    return f"{closed.arm} closes {share} of {gap}{beyond}."


def constant_sentences(results: Sequence[RunResult], metric: str, without: str = "") -> list[str]:
    """One sentence on the arms and anchors that are no better than a constant answer; none where none is.

    without: the best arm, of which `plain_words` have said it, where there is no other.
    """
    runs = [run for run in results if run.main_metric == metric]
    worse = [arm for arm in arms_of(runs) if arm != without and worse_than_constant(runs, arm, metric)]
    return [f"No better than giving every example the same answer: {first_few(worse)}."] if worse else []
