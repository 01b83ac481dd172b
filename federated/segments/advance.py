"""A run from one evaluation to the next: train a segment, evaluate, and tell observers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from federated import rounds
from federated.evaluation import evaluate as evaluation
from federated.federation.fingerprint import heterogeneity_metrics
from federated.foundation.errors import Diverged
from federated.machine.queueing import own_seconds
from federated.metrics import Metrics
from federated.rounds import Stages
from federated.run.course import BEST_ROUND, Course
from federated.run.history import Entry
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.segments.stopping import Ended
from federated.user_code.containment import own_code_named

OnCourse = Callable[[Course], None]


class Observers(NamedTuple):
    """The functions that are called while a run advances.

    display: called with the course after each round and each evaluation. record: called with the history after training
    and after evaluation; where training fails, with the rounds before that. keep: called with the course after each
    evaluation.
    """

    display: OnCourse
    record: Callable[[Sequence[Entry]], None]
    keep: OnCourse


class Steps(NamedTuple):
    """The steps of a segment as functions, which an orchestrator can run as separate tasks."""

    train: Callable[[Course, Setup, int, OnCourse], Course]
    evaluate: Callable[[Course, Setup], Metrics]


def advance(
    course: Course,
    setup: Setup,
    ends: Sequence[int],
    observers: Observers,
    ended: Ended,
    steps: Steps | None = None,
) -> Course:
    """Train and evaluate up to each of these rounds in turn; no further than the first after which the run has ended.

    Raises Diverged, after the measurements before it were recorded.
    """
    for last in ends:
        course = _segment(course, setup, last, observers, steps or STEPS)
        if ended(course):
            break
    return course


def begun(course: Course, setup: Setup, observers: Observers, steps: Steps | None = None) -> Course:
    """The course with an evaluation of the initial model, and with what is measured once, where it has none yet."""
    if not course.history:
        once = {**heterogeneity_metrics(setup.federation), **_parameters(setup)}
        course = _evaluated(course, setup, steps or STEPS, once)
    observers.record(course.history)
    return course


def concluded(course: Course, record: Callable[[Sequence[Entry]], None]) -> Course:
    """The course at its end: where the best round was chosen, its last entry is what was measured of that round.

    So the final figures of a run are those of the model that is kept, and the last point of a curve too.
    """
    if course.best is None:
        return course
    chosen = {BEST_ROUND: float(course.kept.round)}
    course = course.then(course.state, {**course.at_best(), **chosen})
    record(course.history)
    return course


def _parameters(setup: Setup) -> Metrics:
    """The numbers of parameters, where a part of the model is frozen."""
    trained, frozen = setup.model.num_trainable, setup.whole_model.num_frozen
    found = {"train/trained_parameters": float(trained), "train/frozen_parameters": float(frozen)}
    return found if frozen else {}


def _segment(course: Course, setup: Setup, last: int, observers: Observers, steps: Steps) -> Course:
    try:
        course = steps.train(course, setup, last, observers.display)
    except Diverged as error:
        observers.record(error.history)
        raise
    observers.record(course.history)
    course = _evaluated(course, setup, steps)
    observers.record(course.history)
    observers.keep(course)
    observers.display(course)
    return course


def _evaluated(course: Course, setup: Setup, steps: Steps, more: Metrics | None = None) -> Course:
    """The course with an evaluation, along with the seconds it took and the metrics `more`."""
    started = own_seconds()
    metrics = steps.evaluate(course, setup)
    timed = {**metrics, "system/evaluation_seconds": own_seconds() - started, **(more or {})}
    if setup.promise is not None:
        timed |= setup.promise.metrics(course.round)
    return course.then(course.state, timed).with_best(setup.best_by)


def train(
    course: Course,
    setup: Setup,
    until: int,
    display: OnCourse = lambda course: None,
    stages: Stages | None = None,
) -> Course:
    """Train until `until` rounds are done. Raises Diverged, with the history so far."""

    def measured(state: RunState, metrics: Metrics) -> None:
        nonlocal course
        course = course.then(state, metrics)
        display(course)

    try:
        rounds.train_rounds(course.state, setup, until, stages, measured)
    except Diverged as error:
        raise Diverged(str(error), tuple(course.history)) from error
    return course


def evaluate(course: Course, setup: Setup) -> Metrics:
    """Evaluate the state's model on every held-out set."""
    with own_code_named(setup.config):
        return evaluation.evaluate(course.state, setup)


STEPS = Steps(train, evaluate)
