"""The arms of several studies or data sets as methods: the same arm on each of them, ranked over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federated.metrics.names import higher_is_better, metric_label
from federated.report.findings.by_seed import outcomes_of
from federated.report.findings.results import RunResult, arms_of, candidates, within
from federated.report.statistics.paired import RATE
from federated.report.statistics.ranks_across import (
    FEWEST_METHODS,
    RankedMethods,
    fewest_data_sets,
    ranked_methods,
)
from federated.report.text.phrases import counted, first_few
from federated.study.arm_labels import AXIS_SEPARATOR

_DATA = "dataset"


@dataclass(frozen=True)
class Across:
    """methods: the arms that all data sets have. data_sets: the studies, and their data sets where these are an axis.
    scores: the mean over seeds, [data sets, methods]. ranked: None where there are too few to rank, which `why` says.
    """

    methods: tuple[str, ...]
    data_sets: tuple[str, ...]
    scores: np.ndarray
    metric: str
    ranked: RankedMethods | None
    why: str = ""

    @property
    def sentences(self) -> list[str]:
        """What the ranks say, in words, or why there are none."""
        if self.ranked is None:
            return [self.why]
        order = np.argsort(self.ranked.ranks, kind="stable")
        named = [f"{self.methods[at]} ({self.ranked.ranks[at]:.2f})" for at in order]
        said = [
            f"Mean ranks by {metric_label(self.metric)} over {counted(len(self.data_sets), 'data set')}, 1 is best: "
            f"{first_few(named, 10)}."
        ]
        if self.ranked.p >= RATE:
            return [*said, f"No difference among them is shown (Friedman's test, p = {self.ranked.p:.2g})."]
        apart = [pair for pair, p in self.ranked.pairs.items() if p < RATE]
        if not apart:
            return [
                *said,
                "Some differ (Friedman's test), but no pair is told apart after Holm's correction.",
            ]
        pairs = [self._pair(*pair) for pair in apart]
        return [
            *said,
            f"Told apart (Wilcoxon's test over data sets, corrected by Holm): {first_few(pairs, 10)}.",
        ]

    def _pair(self, one: int, other: int) -> str:
        assert self.ranked is not None
        first, second = sorted((one, other), key=lambda at: self.ranked.ranks[at])  # type: ignore[union-attr]
        return f"{self.methods[first]} is ahead of {self.methods[second]}"


def across(results: Sequence[RunResult]) -> Across | None:
    """The arms of several data sets with one main metric; None where there is one data set, or no arm in common."""
    runs = [run for run in candidates(results) if run.finished]
    if len({run.main_metric for run in runs}) != 1:
        return None
    metric = runs[0].main_metric
    by_place: dict[str, dict[str, float]] = {}
    for arm in arms_of(runs):
        first = next(run for run in runs if run.arm == arm)
        scores = list(outcomes_of(runs, arm).scores.values())
        if scores:
            by_place.setdefault(_data_set(first), {})[_method(first)] = float(np.mean(scores))
    common = [
        method
        for method in dict.fromkeys(name for each in by_place.values() for name in each)
        if all(method in each for each in by_place.values())
    ]
    if len(by_place) < 2 or len(common) < 2:
        return None
    sign = 1 if higher_is_better(metric) else -1
    scores_of = np.array([[sign * each[method] for method in common] for each in by_place.values()])
    why = _too_few(len(by_place), len(common))
    ranked = None if why else ranked_methods(scores_of)
    return Across(tuple(common), tuple(by_place), sign * scores_of, metric, ranked, why)


def _too_few(data_sets: int, methods: int) -> str:
    """Why so few are not ranked; empty where they are enough."""
    if methods < FEWEST_METHODS:
        return (
            f"No critical differences over data sets: they need {FEWEST_METHODS} arms or more that every data set has, "
            f"and there are {methods}."
        )
    if data_sets < (fewest := fewest_data_sets(methods)):
        return (
            f"No critical differences over data sets: with {methods} arms no pair could be told apart by fewer than "
            f"{fewest} data sets, however clear the difference, and there are {data_sets}."
        )
    return ""


def _data_set(run: RunResult) -> str:
    """The study, and the data set where that is an axis."""
    data = run.overrides.get(_DATA, "").removeprefix(within(run.study, ""))
    return f"{run.study}: {data}" if data else run.study


def _method(run: RunResult) -> str:
    """The arm without its study and its data set."""
    arm = run.arm.removeprefix(within(run.study, ""))
    data = run.overrides.get(_DATA, "").removeprefix(within(run.study, ""))
    if not data:
        return arm
    return AXIS_SEPARATOR.join(part for part in arm.split(AXIS_SEPARATOR) if part != data) or arm
