"""Shards: orders and reports are plain values, and a worker in another process does the same to the bit."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.rounds import STAGES, run_round
from federated.run.clients.clusters import models_in
from federated.run.clients.order import order_of
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.run.worker import Worker
from federated.shards import ShardOrder, ShardReport, in_this_process, run_shard

CONTENT: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp(hidden=[8])",
    "clients": 6,
    "cohort": {"size": 5},
    "rounds": 3,
    "partitioner": "dirichlet(0.5)",
    "local": {"batch_size": 16, "learning_rate": 0.1},
    "holdout": {"client": 0.2},
    "evaluation": {"drift": True},
    "engine": {"name": "loop"},
}
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "feedback both ways": {
        "compression": {"uplink": "error_feedback(top_k(0.1))", "downlink": "difference(qsgd(4))"}
    },
    "variates": {"algorithm": "scaffold"},
    "bounded": {"privacy": "clip(0.5)"},
    "noise of the server": {
        "privacy": "central_gaussian(0.5, 1, quantile=0.5)",
        "cohort": {"weighting": "uniform"},
        "clients": 30,
    },
    "heads at home": {"algorithm": "fedper", "compression": {"uplink": "qsgd(4)"}},
    "models of their own": {"algorithm": "ditto"},
    "steps of their own": {"algorithm": "apfl"},
    "every row": {"aggregator": "median"},
    "clusters": {"algorithm": "ifca(2)"},
    "clusters of the server": {"algorithm": "cfl(eps1=9, eps2=0, rounds_before=0)", "cohort": {}},
}
TIMES = ("training_seconds", "compression_seconds")


def setup_of(what: str) -> Setup:
    return replace(prepare(RunConfig.model_validate({**CONTENT, **RUNS[what]})), shard_size=2)


def bits(value: Any) -> Any:
    """A nest of values, with the bytes of every number; without times, which a clock says."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy(force=True).tobytes()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    if isinstance(value, ShardReport):
        return bits({key: each for key, each in value._asdict().items() if key not in TIMES})
    if isinstance(value, RunState):
        return bits([value.round, value.parameters, value.server, value.clients, value.uplink_bytes])
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    assert value is None or isinstance(value, str | bytes | int | float)
    return repr(value)


def after_a_round(setup: Setup) -> tuple[RunState, list[ShardOrder]]:
    """A state with memory at the server and the clients, and orders for the round after it."""
    state, _ = run_round(initial_state(setup), setup, STAGES)
    weights = np.array([0.25, 0.75])
    shards = [[0, 1], [3, 5]]
    several = setup.parts.algorithm.clusters is not None
    model = models_in(state, setup) if several else state.parameters
    return state, [order_of(state, model, shard, weights) for shard in shards]


@pytest.mark.parametrize("what", RUNS)
def test_an_order_and_a_report_travel_as_bytes(what: str) -> None:
    setup = setup_of(what)
    _, orders = after_a_round(setup)
    for order in orders:
        received: ShardOrder = pickle.loads(pickle.dumps(order))
        assert bits(received) == bits(order)
        report = run_shard(setup.worker, order)
        assert bits(run_shard(setup.worker, received)) == bits(report)
        assert bits(pickle.loads(pickle.dumps(report))) == bits(report)


def test_an_order_has_the_memory_of_its_own_clients_and_none_of_the_downlink() -> None:
    setup = setup_of("feedback both ways")
    state, orders = after_a_round(setup)
    assert "downlink" in state.server
    for order in orders:
        assert order.server.keys() <= {"algorithm"}
        assert order.own["uplink"].keys() == set(order.clients.tolist()) & state.clients["uplink"].keys()


def test_an_order_and_a_report_hold_no_history_and_nothing_of_this_process() -> None:
    """`bits` meets tensors, arrays and plain numbers alone, or fails."""
    for what in RUNS:
        setup = setup_of(what)
        _, orders = after_a_round(setup)
        bits([orders, list(in_this_process(setup.worker, orders))])


def test_running_a_shard_changes_nothing_in_its_order() -> None:
    for what in RUNS:
        setup = setup_of(what)
        _, orders = after_a_round(setup)
        before = bits(orders)
        first = bits(list(in_this_process(setup.worker, orders)))
        assert bits(orders) == before
        assert bits(list(in_this_process(setup.worker, orders))) == first


_PREPARED: dict[str, Setup] = {}


def elsewhere(config: str, packed: bytes) -> bytes:
    """In the other process: the reports of some orders, by a worker that is prepared there once."""
    if config not in _PREPARED:
        _PREPARED[config] = prepare(RunConfig.model_validate_json(config))
    orders: list[ShardOrder] = pickle.loads(packed)
    return pickle.dumps(list(in_this_process(_PREPARED[config].worker, orders)))


def sent_elsewhere(
    pool: ProcessPoolExecutor, worker: Worker, orders: Sequence[ShardOrder]
) -> Iterator[ShardReport]:
    """A runner of shards in another process, to which nothing but bytes go."""
    answer = pool.submit(elsewhere, worker.config.model_dump_json(), pickle.dumps(list(orders)))
    yield from pickle.loads(answer.result())


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize("what", ["feedback both ways", "variates", "heads at home"])
def test_a_worker_in_another_process_gives_the_same_bits(what: str, pool: ProcessPoolExecutor) -> None:
    setup = setup_of(what)
    here = there = initial_state(setup)
    remote = STAGES._replace(run_shards=partial(sent_elsewhere, pool))
    for _ in range(2):
        here, reported = run_round(here, setup, STAGES)
        there, reported_there = run_round(there, setup, remote)
        assert bits(there) == bits(here)
        assert reported_there.loss == reported.loss
        assert reported_there.communication == reported.communication
        assert reported_there.drift == reported.drift
    assert evaluate(there, setup) == evaluate(here, setup)
