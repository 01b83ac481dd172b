"""Data larger than memory: a federation never copies its examples, and what it holds for each client is small."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from benchmarks.million_clients import WIDTH, config_of
from federated.config.clients import Holdout
from federated.evaluation.evaluate import evaluate
from federated.evaluation.outputs import Outputs
from federated.federation.federation import partition_clients
from federated.machine import large_arrays
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

CLIENTS = 5_000
"""With ten examples each, which would be 13 MB; they are windows of 50 kB."""


@pytest.mark.slow
def test_from_preparing_a_run_to_its_evaluation_no_example_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_arrays, "_BLOCK_BYTES", 2**18)
    small = prepare(config_of(200, 1))  # so that what is only made once is not counted
    evaluate(train_rounds(initial_state(small), small, 1), small)
    tracemalloc.start()
    try:
        setup = prepare(config_of(CLIENTS, 2))
        evaluate(train_rounds(initial_state(setup), setup, 2), setup)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    inputs = setup.federation.examples.inputs
    assert inputs.shape == (10 * CLIENTS, WIDTH)
    assert setup.inputs.data_ptr() == inputs.ctypes.data
    assert setup.inputs.stride() == (1, 1)
    assert held < 800 * CLIENTS, (
        held
    )  # of them eight bytes an example for each of targets, hashes and two orders
    assert peak < 0.5 * inputs.nbytes, peak


def test_what_each_client_holds_is_a_slice_of_one_array() -> None:
    holdout = Holdout(client=0.2, validation=0.2, unseen_clients=20)
    federation = partition_clients(config_of(200, 1).model_copy(update={"clients": 180, "holdout": holdout}))
    for held in (federation.clients, federation.own_held_out, federation.own_validation, federation.unseen):
        assert len({id(each.base) for each in held}) == 1
        assert len(held[0])


def test_outputs_of_many_batches_are_those_of_one() -> None:
    setup = prepare(config_of(200, 1))
    every = np.arange(1990)
    models = Outputs(setup)
    whole = models.of(setup.initial_parameters, every)
    config = setup.config
    few = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"batch_size": 64})})
    parts = Outputs(setup.with_config(few)).of(setup.initial_parameters, every)
    assert torch.allclose(parts, whole, atol=1e-6)
    assert not parts.is_inference()
    assert len(models.of(setup.initial_parameters, every[:0])) == 0
