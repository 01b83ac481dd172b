"""The Prefect tasks of a run, thin wrappers of functions in `federated`.

Setups and states are passed as `Opaque`, so that Prefect neither traverses nor hashes them. No task changes its
arguments, so a retry gets the same objects.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from federated import rounds
from federated.config.run import RunConfig
from federated.evaluation import evaluate as evaluation
from federated.foundation.masking import masked_errors
from federated.metrics import Metrics
from federated.rounds import Stages
from federated.run import setup
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.shards import in_this_process, train
from federated.user_code.containment import own_code_named
from federated.wire import uplink as wire

T = TypeVar("T")
OnRound = Callable[[RunState], None]
Train = Callable[["Opaque[RunState]", "Opaque[Setup]", int, int, OnRound], "Opaque[RunState]"]
Evaluate = Callable[["Opaque[RunState]", "Opaque[Setup]", int], Metrics]


class Opaque(Generic[T]):
    """A task argument or result that Prefect passes on without looking inside."""

    def __init__(self, value: T) -> None:
        self.value = value


@task(name="prepare", task_run_name="load data, hand it out, make the model", cache_policy=NO_CACHE)
@masked_errors()
def prepare(config: Opaque[RunConfig]) -> Opaque[Setup]:
    """Build everything a run works with."""
    return Opaque(setup.prepare(config.value))


@task(name="train", task_run_name="train rounds {first}-{last}", cache_policy=NO_CACHE)
@masked_errors()
def train_segment(
    state: Opaque[RunState], setup: Opaque[Setup], first: int, last: int, on_round: OnRound
) -> Opaque[RunState]:
    """Train the rounds between two evaluations in this one task run."""
    return _trained(state, setup, last, on_round)


def train_stages(
    state: Opaque[RunState], setup: Opaque[Setup], first: int, last: int, on_round: OnRound
) -> Opaque[RunState]:
    """Train the same rounds with a task run for each stage, for rounds that take seconds."""
    return Opaque(rounds.train_rounds(state.value, setup.value, last, _STAGES, on_round))


@task(name="evaluate", task_run_name="evaluate round {done}", cache_policy=NO_CACHE)
@masked_errors()
def evaluate(state: Opaque[RunState], setup: Opaque[Setup], done: int) -> Metrics:
    """Evaluate the global model on every held-out set; its metrics."""
    return evaluate_plainly(state, setup, done)


def train_plainly(
    state: Opaque[RunState], setup: Opaque[Setup], first: int, last: int, on_round: OnRound
) -> Opaque[RunState]:
    """Train a segment as part of an enclosing task run."""
    return _trained(state, setup, last, on_round)


def _trained(state: Opaque[RunState], setup: Opaque[Setup], last: int, on_round: OnRound) -> Opaque[RunState]:
    return Opaque(rounds.train_rounds(state.value, setup.value, last, on_round=on_round))


def evaluate_plainly(state: Opaque[RunState], setup: Opaque[Setup], done: int) -> Metrics:
    """Evaluate as part of an enclosing task run."""
    with own_code_named(setup.value.config):
        return evaluation.evaluate(state.value, setup.value)


def evaluated(evaluate: Evaluate, state: RunState, setup: Setup, more: Metrics | None = None) -> RunState:
    """The state with an evaluation in its history, along with the seconds it took and the metrics `more`."""
    started = time.perf_counter()
    metrics = evaluate(Opaque(state), Opaque(setup), state.round)
    timed = {**metrics, "system/evaluation_seconds": time.perf_counter() - started, **(more or {})}
    return replace(state, history=state.history.then((state.round, timed)))


@task(
    name="train and evaluate", task_run_name="train and evaluate rounds {first}-{last}", cache_policy=NO_CACHE
)
@masked_errors()
def train_and_evaluate(first: int, last: int, work: Opaque[Callable[[], RunState]]) -> Opaque[RunState]:
    """Train and evaluate several segments that are too short for separate task runs.

    last: an upper limit of the last round; a stop rule may end the work earlier.
    """
    return Opaque(work.value())


def _stage(function: Callable[..., T], name: str) -> Callable[..., T]:
    """A stage of a round as a separate task. Its first argument knows the run's config."""

    @task(name=name, cache_policy=NO_CACHE)
    @masked_errors()
    def run(arguments: Opaque[tuple[Any, ...]]) -> Opaque[T]:
        with own_code_named(arguments.value[0].config):
            return Opaque(function(*arguments.value))

    return lambda *arguments: run(Opaque(arguments)).value


_train = _stage(train, "local training")
_STAGES = Stages(
    train=_train,
    run_shards=partial(in_this_process, train=_train, compress=_stage(wire.compress, "compress")),
    aggregate=_stage(rounds.aggregate, "aggregate"),
)
