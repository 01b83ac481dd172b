"""What Prefect sees of a run: thin tasks around the functions of `federated`.

Setups and states are handed over through `opaque`, so that Prefect neither walks into them nor hashes them. No
task changes its arguments, so a retry meets the same objects.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from federated import rounds
from federated.config.run import RunConfig
from federated.evaluation import evaluate as evaluation
from federated.foundation.masking import masked_errors
from federated.metrics import Metrics
from federated.rounds import Stages
from federated.run import setup
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.user_code.containment import own_code_named
from federated.wire import uplink as wire

T = TypeVar("T")
OnRound = Callable[[RunState], None]
Train = Callable[[RunState, Setup, int, int, OnRound], RunState]
Evaluate = Callable[[RunState, Setup, int], Metrics]


def opaque(value: T) -> T:
    """The value as an argument or result of a task that Prefect hands over as it is.

    A task receives such an argument as the value itself; the caller opens such a result with `opened`.
    """
    return cast(T, quote(value))


def opened(result: T) -> T:
    """The value behind an opaque result."""
    return cast(T, cast(Any, result).unquote())


@task(name="prepare", task_run_name="load data, hand it out, make the model", cache_policy=NO_CACHE)
@masked_errors()
def prepare(config: RunConfig) -> Setup:
    """All that a run works with; opaque."""
    return opaque(setup.prepare(config))


@task(name="train", task_run_name="train rounds {first}-{last}", cache_policy=NO_CACHE)
@masked_errors()
def train_segment(state: RunState, setup: Setup, first: int, last: int, on_round: OnRound) -> RunState:
    """The rounds between two evaluations, all in this one task run; opaque."""
    return opaque(rounds.train_rounds(state, setup, last, on_round=on_round))


def train_stages(state: RunState, setup: Setup, first: int, last: int, on_round: OnRound) -> RunState:
    """The same rounds, every stage of each a task run of its own: for rounds that take seconds."""
    state, setup, on_round = opened(state), opened(setup), opened(on_round)
    return opaque(rounds.train_rounds(state, setup, last, _STAGES, on_round))


@task(name="evaluate", task_run_name="evaluate round {done}", cache_policy=NO_CACHE)
@masked_errors()
def evaluate(state: RunState, setup: Setup, done: int) -> Metrics:
    """Metrics of the global model on every held-out set."""
    with own_code_named(setup.config):
        return evaluation.evaluate(state, setup)


def train_plainly(state: RunState, setup: Setup, first: int, last: int, on_round: OnRound) -> RunState:
    """A segment that is part of a task run; opaque, as the others."""
    state, setup, on_round = opened(state), opened(setup), opened(on_round)
    return opaque(rounds.train_rounds(state, setup, last, on_round=on_round))


def evaluate_plainly(state: RunState, setup: Setup, done: int) -> Metrics:
    """An evaluation that is part of a task run."""
    with own_code_named(opened(setup).config):
        return evaluation.evaluate(opened(state), opened(setup))


def evaluated(evaluate: Evaluate, state: RunState, setup: Setup, more: Metrics | None = None) -> RunState:
    """The state with its evaluation, the seconds that took and `more` in the history."""
    started = time.perf_counter()
    metrics = evaluate(opaque(state), opaque(setup), state.round)
    timed = {**metrics, "system/evaluation_seconds": time.perf_counter() - started, **(more or {})}
    return replace(state, history=state.history.then((state.round, timed)))


@task(
    name="train and evaluate", task_run_name="train and evaluate rounds {first}-{last}", cache_policy=NO_CACHE
)
@masked_errors()
def train_and_evaluate(first: int, last: int, work: Callable[[], RunState]) -> RunState:
    """Segments of rounds with an evaluation after each, which are too short for task runs of their own; opaque.

    last: the last round at most; a stop rule may end the work before.
    """
    return opaque(work())


def _stage(function: Callable[..., T], name: str) -> Callable[..., T]:
    """A stage of a round as a task of its own."""

    @task(name=name, cache_policy=NO_CACHE)
    @masked_errors()
    def run(setup: Setup, arguments: tuple[object, ...]) -> T:
        with own_code_named(setup.config):
            return opaque(function(setup, *arguments))

    return lambda setup, *arguments: opened(run(opaque(setup), opaque(arguments)))


_STAGES = Stages(
    train=_stage(rounds.train, "local training"),
    compress=_stage(wire.compress, "compress"),
    aggregate=_stage(rounds.aggregate, "aggregate"),
)
