"""The Prefect tasks of a run, thin wrappers of functions in `federated`.

Setups, courses and orders are passed as `Opaque`, so that Prefect neither traverses nor hashes them. No task changes
its arguments, so a retry gets the same objects.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from federated import rounds, segments
from federated.config.run import RunConfig
from federated.foundation.masking import masked_errors
from federated.metrics import Metrics
from federated.rounds import Stages
from federated.run import setup as setups
from federated.run.course import Course
from federated.run.setup import Setup
from federated.segments import Ended, Observers, OnCourse, Steps
from federated.shards import in_this_process, trained_in_this_process
from federated.shards.shard import train as train_shard
from federated.user_code.containment import own_code_named
from federated.wire import uplink

T = TypeVar("T")

_SHORT_SEGMENT_SECONDS = 1.0  # below that, segments share a task run ...
_TASK_RUN_SECONDS = 10.0  # ... of about this long


class Opaque(Generic[T]):
    """A task argument or result that Prefect passes on without looking inside."""

    def __init__(self, value: T) -> None:
        self.value = value


@task(name="prepare", task_run_name="load data, hand it out, make the model", cache_policy=NO_CACHE)
@masked_errors()
def prepare(config: Opaque[RunConfig]) -> Opaque[Setup]:
    """Build everything a run works with."""
    return Opaque(setups.prepare(config.value))


def advance(
    course: Course,
    setup: Setup,
    ends: Sequence[int],
    observers: Observers,
    ended: Ended,
    stages: Stages | None = None,
) -> Course:
    """Train and evaluate segments: one by task runs of its steps or stages, several, which are short, in one.

    stages: of a round; None: those of this process.
    """
    work = (course, setup, ends, observers, ended)
    if len(ends) > 1:
        steps = Steps(partial(segments.train, stages=stages), segments.evaluate)
        return _train_and_evaluate(course.round + 1, ends[-1], Opaque((*work, steps))).value
    return segments.advance(*work, _steps(setup, stages))


def begun(course: Course, setup: Setup, observers: Observers) -> Course:
    """The course with an evaluation of the initial model, a task run, where it has none yet."""
    return segments.begun(course, setup, observers, _steps(setup, None))


def segments_a_task_run(config: RunConfig, round_seconds: float) -> int:
    """The number of segments in a task run: one, unless a segment is shorter than Prefect's own overhead.

    A task run costs 3 ms in this process and 11 ms in the server, while other threads train.
    """
    seconds = round_seconds * config.evaluation.every
    if seconds >= _SHORT_SEGMENT_SECONDS or config.orchestration.granularity == "stage":
        return 1
    return max(1, round(_TASK_RUN_SECONDS / seconds))


@task(
    name="train and evaluate", task_run_name="train and evaluate rounds {first}-{last}", cache_policy=NO_CACHE
)
@masked_errors()
def _train_and_evaluate(first: int, last: int, work: Opaque[tuple[Any, ...]]) -> Opaque[Course]:
    """last: an upper limit of the last round; a stop rule may end the work earlier."""
    return Opaque(segments.advance(*work.value))


@task(name="train", task_run_name="train rounds {first}-{last}", cache_policy=NO_CACHE)
@masked_errors()
def _train(first: int, last: int, work: Opaque[tuple[Any, ...]]) -> Opaque[Course]:
    return Opaque(segments.train(*work.value))


@task(name="evaluate", task_run_name="evaluate round {done}", cache_policy=NO_CACHE)
@masked_errors()
def _evaluate(done: int, work: Opaque[tuple[Course, Setup]]) -> Metrics:
    return segments.evaluate(*work.value)


def _steps(setup: Setup, stages: Stages | None) -> Steps:
    """The steps of a segment as task runs; of training the stages instead, where those are to be task runs."""
    by_stage = setup.config.orchestration.granularity == "stage"
    train = partial(segments.train, stages=_STAGES) if by_stage else partial(_as_a_task, stages=stages)
    return Steps(train, _evaluated)


def _as_a_task(course: Course, setup: Setup, last: int, display: OnCourse, stages: Stages | None) -> Course:
    return _train(course.round + 1, last, Opaque((course, setup, last, display, stages))).value


def _evaluated(course: Course, setup: Setup) -> Metrics:
    return _evaluate(course.round, Opaque((course, setup)))


def _stage(function: Callable[..., T], name: str) -> Callable[..., T]:
    """A stage of a round as a separate task. Its first argument knows the run's config."""

    @task(name=name, cache_policy=NO_CACHE)
    @masked_errors()
    def run(arguments: Opaque[tuple[Any, ...]]) -> Opaque[T]:
        with own_code_named(arguments.value[0].config):
            return Opaque(function(*arguments.value))

    return lambda *arguments: run(Opaque(arguments)).value


_train_shard = _stage(train_shard, "local training")
_STAGES = Stages(
    train_shards=partial(trained_in_this_process, train=_train_shard),
    run_shards=partial(in_this_process, train=_train_shard, compress=_stage(uplink.compress, "compress")),
    aggregate=_stage(rounds.aggregate, "aggregate"),
)
