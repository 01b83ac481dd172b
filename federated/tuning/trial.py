"""One trial: a training that is scored on the tuning part alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from federated.config.evaluation import MAIN
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput, Diverged
from federated.foundation.texts import listed
from federated.machine.torch_threads import torch_threads
from federated.metrics.dictionary.stated import ChoosingMetric, choosing_metric, is_of_choosing, main_choosing
from federated.metrics.names import metric_names
from federated.networks import SECONDS_TOTAL, timed
from federated.run.course import Course
from federated.run.preparing.judging.chosen_by import nothing_chooses, without_a_model
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import Observers, advance, ending, evaluate, segment_ends
from federated.segments.used import machine_used
from federated.tuning.found import Cost, Ended
from federated.tuning.judged import Blind

Pruned = Callable[[int, float], bool]
"""(which evaluation, from 1; its score) -> whether the trial is to end here."""

_UPLINK, _DOWNLINK = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
_NOTHING = dict.fromkeys((_UPLINK, _DOWNLINK, SECONDS_TOTAL, "bill/core_seconds", "bill/gpu_seconds"), 0.0)
"""What a training used of which no round ended."""


class Scored(NamedTuple):
    """The outcome of a training. score: None where it diverged or failed. metric: that scores it. why: it failed."""

    score: float | None
    ended: Ended
    cost: Cost
    metric: ChoosingMetric
    why: str = ""


def never(evaluation: int, score: float) -> bool:
    """No trial is pruned."""
    return False


def scored(config: RunConfig, metric: ChoosingMetric, federation: Blind, pruned: Pruned = never) -> Scored:
    """Train and score by the metric, of the round that the run would keep.

    What cannot be trained, a person's own code included, is a training that failed, as other values may do.
    """
    started = time.perf_counter()
    with torch_threads(1):
        try:
            setup = prepare(config, federation=federation)
            setup = setup.with_config(_kept_by(config, metric))
            course, begun, ended = _trained(setup, metric, pruned)
        except BadInput as error:
            spent = Cost(seconds=time.perf_counter() - started, used=_NOTHING)
            return Scored(None, "failed", spent, metric, str(error))
    score = None if ended == "diverged" else _score(course, metric)
    cost = _cost(course, begun, setup, time.perf_counter() - started)
    return Scored(score, "diverged" if score is None else ended, cost, metric)


def metric_of(metric: str, setup: Setup) -> ChoosingMetric:
    """The metric by name, of the tuning part. Raises BadInput where it judges, or is not measured there."""
    without = without_a_model(setup.config, setup.trainers, setup.parts)
    sets = {
        name: len(examples)
        for name, examples in setup.federation.held_out_sets().items()
        if name not in without
    }
    allowed = [name for name in metric_names(setup.scoring, sets) if is_of_choosing(name)]
    if metric == MAIN:
        metric = main_choosing(setup.scoring.main.name, sets)
        if metric not in allowed:
            raise BadInput(f"tuning.metric: main: {nothing_chooses(setup.config, without)}")
    found = choosing_metric(metric, "tuning.metric")
    if found not in allowed:
        raise BadInput(
            f"tuning.metric: {metric!r} is not measured on the tuning part here; allowed: {listed([MAIN, *allowed])}"
        )
    return found


def _kept_by(config: RunConfig, metric: ChoosingMetric) -> RunConfig:
    """Where a run keeps its best round, so does a trial, by the metric that scores it."""
    if config.evaluation.best_by is None:
        return config
    evaluation = config.evaluation.model_copy(update={"best_by": str(metric)})
    return config.model_copy(update={"evaluation": evaluation})


def _trained(setup: Setup, metric: ChoosingMetric, pruned: Pruned) -> tuple[Course, int, Ended]:
    """(The course at its end, or after the last round that ended; the rounds that were begun; how it ended)."""
    course, until = Course(initial_state(setup)), 0
    ended = ending(setup.config, setup.stop, setup.promise)
    last = [course]

    def see(course: Course) -> None:
        last[0] = course

    observers = Observers(see, lambda history: None, lambda course: None)
    try:
        if setup.stop is not None or setup.best_by is not None:  # which look at the initial model too
            course = course.then(course.state, evaluate(course, setup)).with_best(setup.best_by)
        for at, until in enumerate(segment_ends(setup.config, 0, setup.last_round), 1):
            if ended(course):
                break
            course = advance(course, setup, [until], observers, ended)
            score = _score(course, metric)
            if not ended(course) and score is not None and pruned(at, score):
                return course, course.round, "pruned"
    except Diverged:
        done = last[0].round  # it is a round's, or the evaluation's after the last of them
        return last[0], done + (done < until), "diverged"
    return course, course.round, "complete"


def _cost(course: Course, begun: int, setup: Setup, seconds: float) -> Cost:
    """Of the rounds that ended; rounds and epsilon of all that were begun."""
    state, config = course.state, setup.config
    used = {_UPLINK: float(state.uplink_bytes), _DOWNLINK: float(state.downlink_bytes)}
    if config.network is not None:
        clocked = timed(course.history, config.network.build(), config.seed)
        used[SECONDS_TOTAL] = max((found.get(SECONDS_TOTAL, 0.0) for _, found in clocked), default=0.0)
    used |= machine_used(course) if course.round else _NOTHING
    epsilon = 0.0 if setup.promise is None or not begun else setup.promise.spent(begun).epsilon
    return Cost(begun, (used[_UPLINK] + used[_DOWNLINK]) / 1e6, seconds, epsilon, used)


def _score(course: Course, metric: ChoosingMetric) -> float | None:
    if course.best is not None:
        return course.best.value
    value = course.latest().get(metric)
    return None if value is None or np.isnan(value) else float(value)
