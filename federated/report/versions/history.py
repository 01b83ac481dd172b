"""History: every study of a name in MLflow, and the main metric of each arm over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import RunResult, arms_of
from federated.report.statistics.paired import ROUNDING, Interval
from federated.report.versions.version import Version
from federated.study.further.bands import MAIN, Bands


class PastStudy(NamedTuple):
    """One of the studies of a name.

    results: its runs, with the last value of each metric alone. arm_keys: arm -> what is equal for arms of the same
    settings. expect: the bands that it states. bands: whether its figures were in them at its end, "held" or "missed";
    "" where that was not judged. missed: a sentence for each that was not. status: MLflow's. address: of its page.
    tuned: whether its arms chose values first.
    """

    version: Version
    run_id: str
    results: Sequence[RunResult]
    arm_keys: Mapping[str, str]
    expect: Bands
    bands: str
    missed: Sequence[str]
    status: str
    address: str = ""
    tuned: bool = False

    @property
    def running(self) -> bool:
        """Whether MLflow has no end for it yet."""
        return self.status in ("RUNNING", "SCHEDULED")

    @property
    def failed_runs(self) -> int:
        """Runs that ended by an error or a kill."""
        return sum(run.failed for run in self.results)

    @property
    def failed(self) -> bool:
        """Whether something of it failed, other than a figure outside its band."""
        return bool(self.failed_runs) or (self.status in ("FAILED", "KILLED") and not self.missed)


class Point(NamedTuple):
    """The main metric of an arm in one study.

    at: the place of the study, oldest first. mean: over the seeds that finished; None without one. scores: by seed.
    band: that the study states for it. alike: whether the arm has the settings that it has in the newest study.
    """

    at: int
    mean: float | None
    interval: Interval | None
    scores: Mapping[int, float]
    data: frozenset[str]
    band: tuple[float, float] | None
    alike: bool


@dataclass(frozen=True)
class Trend:
    """The main metric of an arm over the studies that have it, oldest first."""

    arm: str
    metric: str
    points: Sequence[Point]

    @cached_property
    def counted(self) -> list[Point]:
        """The points with a mean and with the newest settings, which say what is to be expected."""
        return [point for point in self.points if point.mean is not None and point.alike]

    def newest(self, at: int) -> Point | None:
        """The point of the study in this place; None where the arm has no mean there."""
        return next((point for point in self.counted if point.at == at), None)

    def earlier(self, at: int) -> list[Point]:
        """The points that count before that place, and have a seed in common with it."""
        newest = self.newest(at)
        seeds = set() if newest is None else newest.scores.keys()
        return [point for point in self.counted if point.at < at and point.scores.keys() & seeds]

    def range_before(self, at: int) -> Interval | None:
        """The lowest and the highest mean that the seeds of this place had before; None without one.

        Of a point without some of these seeds it is the mean here plus the mean difference in the seeds of both, as a
        seed that failed or was added moves a mean and is no change.
        """
        newest = self.newest(at)
        if newest is None or newest.mean is None:
            return None
        means = [newest.mean + _difference(point.scores, newest.scores) for point in self.earlier(at)]
        return Interval(min(means), max(means)) if means else None

    def is_within(self, at: int) -> bool | None:
        """Whether the mean in this place is among the earlier ones, ends included; None where it has none to go by."""
        newest, ends = self.newest(at), self.range_before(at)
        if newest is None or newest.mean is None or ends is None:
            return None
        return ends.low - ROUNDING <= newest.mean <= ends.high + ROUNDING

    def last_change(self, at: int) -> tuple[Point | None, Point] | None:
        """(the last point with another score for a seed, the first point since with those of this place).

        The former is None where all were the same. None without a mean in this place.
        """
        newest = self.newest(at)
        if newest is None:
            return None
        since = newest
        for point in reversed(self.earlier(at)):
            shared = point.scores.keys() & newest.scores.keys()
            if any(abs(point.scores[seed] - newest.scores[seed]) > ROUNDING for seed in shared):
                return point, since
            since = point
        return None, since


def _difference(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """The mean of one minus that of the other in the seeds of both."""
    return float(np.mean([one[seed] - other[seed] for seed in one.keys() & other.keys()]))


@dataclass(frozen=True)
class History:
    """The studies of a name, oldest first. left_out: earlier ones that were not read."""

    name: str
    studies: Sequence[PastStudy]
    left_out: int = 0

    @cached_property
    def newest(self) -> int:
        """The place of the newest study that has a finished run; the last where none has."""
        done = [at for at, study in enumerate(self.studies) if any(run.finished for run in study.results)]
        return done[-1] if done else len(self.studies) - 1

    @cached_property
    def trends(self) -> list[Trend]:
        """A trend an arm: those of the newest study first, in its order, then those that it no longer has."""
        newest_first = [self.studies[self.newest], *reversed(self.studies)]
        arms = dict.fromkeys(arm for study in newest_first for arm in arms_of(study.results))
        return [self._trend(arm) for arm in arms]

    def _trend(self, arm: str) -> Trend:
        having = [(at, study) for at, study in enumerate(self.studies) if arm in arms_of(study.results)]
        stated = [(at, study) for at, study in having if at <= self.newest] or having
        last = stated[-1][1]
        metric = next(run.main_metric for run in last.results if run.arm == arm)
        key = last.arm_keys.get(arm, "")
        points = [_point(at, study, arm, metric, key) for at, study in having]
        return Trend(arm, metric, points)


def _point(at: int, study: PastStudy, arm: str, metric: str, key: str) -> Point:
    runs = [run for run in study.results if run.arm == arm and run.finished]
    finals = {run.seed: run.final(metric) for run in runs}
    scores = {seed: value for seed, value in finals.items() if value is not None and np.isfinite(value)}
    mean, interval = interval_over_seeds(runs, metric)
    bands = study.expect.get(arm, {})
    band = bands.get(metric) or bands.get(MAIN)
    return Point(
        at,
        mean if mean is not None and np.isfinite(mean) else None,
        interval,
        scores,
        frozenset(run.data_digest for run in runs if run.data_digest),
        None if band is None else (band[0], band[1]),
        study.arm_keys.get(arm, "") == key,
    )
