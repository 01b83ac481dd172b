"""The scores of sites that never trained, of arms that leave one out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federated.metrics.names import higher_is_better, on_test
from federated.report.findings.results import RunResult, has_withdrawn
from federated.study.arm_labels import UNSEEN

_OF_A_SITE = (UNSEEN, "clients", "name")
"""Overrides that arms of one family do not share."""


class LeftOut(NamedTuple):
    """The arms that differ in the site that never trains.

    arm: what they have in common, as the arm in which all train is called. metric: the main one, on the left-out sites.
    scores: site -> mean over the seeds that finished. examples: site -> of its examples, in the same runs.
    """

    arm: str
    metric: str
    scores: Mapping[str, float]
    examples: Mapping[str, int]

    @property
    def worst_first(self) -> list[str]:
        """The sites in the order of their scores."""
        sign = 1 if higher_is_better(self.metric) else -1
        return sorted(self.scores, key=lambda site: sign * self.scores[site])


def left_out(results: Sequence[RunResult]) -> list[LeftOut]:
    """One entry for each arm of which at least two sites were left out and evaluated."""
    families: dict[tuple[object, ...], list[RunResult]] = {}
    for run in results:
        if has_withdrawn(run):
            continue
        families.setdefault(_family(run), []).append(run)
    found = [_of_family(runs) for runs in families.values()]
    return [each for each in found if len(each.scores) > 1]


def _family(run: RunResult) -> tuple[object, ...]:
    shared = [(path, label) for path, label in run.overrides.items() if path not in _OF_A_SITE]
    return run.study, run.anchor, run.main_metric, tuple(shared)


def _of_family(runs: Sequence[RunResult]) -> LeftOut:
    metric = on_test(runs[0].main_metric).replace("/test_", "/unseen_")
    whole = [run.arm for run in runs if not run.left_out]
    by_site: dict[str, list[RunResult]] = {}
    for run in runs:
        if run.left_out and run.finished and run.final(metric) is not None:
            by_site.setdefault(run.left_out, []).append(run)
    scores = {site: float(np.mean([run.final(metric) for run in theirs])) for site, theirs in by_site.items()}
    examples = {site: int(theirs[0].data.get("unseen_examples", 0)) for site, theirs in by_site.items()}
    return LeftOut(whole[0] if whole else runs[0].anchor or runs[0].study, metric, scores, examples)
