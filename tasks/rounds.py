"""What Prefect sees of a run: thin tasks around the functions of `federated`.

Setups and states are handed over through `opaque`, so that Prefect neither walks into them nor hashes them. No
task changes its arguments, so a retry meets the same objects.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from federated import evaluation, rounds, setup, wire
from federated.config import RunConfig
from federated.rounds import Stages
from federated.setup import Setup
from federated.state import Metrics, RunState

T = TypeVar("T")
OnRound = Callable[[RunState], None]


def opaque(value: T) -> T:
    """The value as an argument or result of a task that Prefect hands over as it is.

    A task receives such an argument as the value itself; the caller opens such a result with `opened`.
    """
    return cast(T, quote(value))


def opened(result: T) -> T:
    """The value behind an opaque result."""
    return cast(T, cast(Any, result).unquote())


@task(name="prepare", task_run_name="load data, hand it out, make the model", cache_policy=NO_CACHE)
def prepare(config: RunConfig) -> Setup:
    """All that a run works with; opaque."""
    return opaque(setup.prepare(config))


@task(name="train", task_run_name="train rounds {first}-{last}", cache_policy=NO_CACHE)
def train_segment(state: RunState, setup: Setup, first: int, last: int, on_round: OnRound) -> RunState:
    """The rounds between two evaluations, all in this one task run; opaque."""
    return opaque(rounds.train_rounds(state, setup, last, on_round=on_round))


def train_stages(state: RunState, setup: Setup, first: int, last: int, on_round: OnRound) -> RunState:
    """The same rounds, every stage of each a task run of its own: for rounds that take seconds."""
    state, setup, on_round = opened(state), opened(setup), opened(on_round)
    return opaque(rounds.train_rounds(state, setup, last, _STAGES, on_round))


@task(name="evaluate", task_run_name="evaluate round {done}", cache_policy=NO_CACHE)
def evaluate(state: RunState, setup: Setup, done: int) -> Metrics:
    """Metrics of the global model on every held-out set."""
    return evaluation.evaluate(state, setup)


def _stage(function: Callable[..., T], name: str) -> Callable[..., T]:
    """A stage of a round as a task of its own."""

    @task(name=name, cache_policy=NO_CACHE)
    def run(arguments: tuple[object, ...]) -> T:
        return opaque(function(*arguments))

    return lambda *arguments: opened(run(opaque(arguments)))


_STAGES = Stages(
    train=_stage(rounds.train, "local training"),
    compress=_stage(wire.compress, "compress"),
    aggregate=_stage(rounds.aggregate, "aggregate"),
)
