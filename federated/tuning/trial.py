"""One trial: a training that is scored on the tuning part alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from federated.config.evaluation import MAIN
from federated.config.run import RunConfig
from federated.foundation.errors import Diverged
from federated.machine.torch_threads import torch_threads
from federated.metrics.dictionary.stated import ChoosingMetric, choosing_metric, main_choosing
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import Observers, advance, ending, segment_ends
from federated.tuning.found import Cost
from federated.tuning.judged import Blind

Pruned = Callable[[int, float], bool]
"""(which evaluation, from 1; its score) -> whether the trial is to end here."""

_SILENT = Observers(lambda course: None, lambda history: None, lambda course: None)


class Scored(NamedTuple):
    """The outcome of a training. score: None where it diverged. metric: by which it is scored."""

    score: float | None
    ended: Literal["complete", "pruned", "diverged"]
    cost: Cost
    metric: ChoosingMetric


def never(evaluation: int, score: float) -> bool:
    """No trial is pruned."""
    return False


def scored(config: RunConfig, metric: str, federation: Blind, pruned: Pruned = never) -> Scored:
    """Train and score by the metric, of the round that the run would keep. Raises BadInput."""
    started = time.perf_counter()
    with torch_threads(1):
        setup = prepare(config, federation=federation)
        by = metric_of(metric, setup)
        setup = setup.with_config(_kept_by(config, by))
        course, ended = _trained(setup, by, pruned)
    score = None if ended == "diverged" else _score(course, by)
    state = course.state
    promise = 0.0 if setup.promise is None else setup.promise.spent(course.round).epsilon
    sent = (state.uplink_bytes + state.downlink_bytes) / 1e6
    cost = Cost(course.round, sent, time.perf_counter() - started, promise)
    return Scored(score, "diverged" if score is None else ended, cost, by)


def metric_of(metric: str, setup: Setup) -> ChoosingMetric:
    """The metric by name, of the tuning part. Raises BadInput where it judges."""
    if metric == MAIN:
        metric = main_choosing(setup.scoring.main.name, setup.federation.held_out_sets())
    return choosing_metric(metric, "tuning.metric")


def _kept_by(config: RunConfig, metric: ChoosingMetric) -> RunConfig:
    """Where a run keeps its best round, so does a trial, by the metric that scores it."""
    if config.evaluation.best_by is None:
        return config
    evaluation = config.evaluation.model_copy(update={"best_by": str(metric)})
    return config.model_copy(update={"evaluation": evaluation})


def _trained(
    setup: Setup, metric: ChoosingMetric, pruned: Pruned
) -> tuple[Course, Literal["complete", "pruned", "diverged"]]:
    course, ended = Course(initial_state(setup)), ending(setup.config, setup.stop, setup.promise)
    for at, last in enumerate(segment_ends(setup.config, 0, setup.last_round), 1):
        try:
            course = advance(course, setup, [last], _SILENT, ended)
        except Diverged as error:
            return Course(replace(course.state, round=_rounds_of(error, course))), "diverged"
        if ended(course):
            break
        score = _score(course, metric)
        if score is not None and pruned(at, score):
            return course, "pruned"
    return course, "complete"


def _rounds_of(error: Diverged, course: Course) -> int:
    """The rounds that were done before a training was no longer finite, and the one in which that was seen."""
    return max((at for at, _ in error.history), default=course.round) + 1


def _score(course: Course, metric: ChoosingMetric) -> float | None:
    if course.best is not None:
        return course.best.value
    value = course.latest().get(metric)
    return None if value is None or np.isnan(value) else float(value)
