"""Local training on a device other than the CPU: nothing is mixed, and no local step waits for a copy."""

import warnings
from collections import Counter
from typing import Any

import pytest
import torch

from federated.algorithms.local_terms import LocalTerms
from federated.evaluation.evaluate import evaluate
from federated.local_training.engine import ENGINES
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from tests.conftest import config_of
from tests.test_exactness import COHORT, MODEL_ROWS, _case, _distance
from tests.test_pretend_device import DEVICE, PretendDevice


def on_cuda(work: LocalWork) -> LocalWork:
    """The same on a GPU."""
    model = FlatModel(work.model.module.cuda())
    return work._replace(model=model, inputs=work.inputs.cuda(), targets=work.targets.cuda())


def moved(work: LocalWork, terms: LocalTerms) -> tuple[LocalWork, LocalTerms]:
    """The same on the device."""
    correction = None if terms.correction is None else terms.correction.to(DEVICE)
    there = work._replace(
        model=FlatModel(work.model.module.to(DEVICE)),
        inputs=work.inputs.to(DEVICE),
        targets=work.targets.to(DEVICE),
        weights=None if work.weights is None else work.weights.to(DEVICE),
    )
    return there, LocalTerms(terms.proximal, correction, terms.rate_factors, terms.steps)


def waits_of(engine: str, work: LocalWork, terms: LocalTerms) -> tuple[Any, Counter[str]]:
    """(the updates of a round on the device, what it waited for)."""
    with PretendDevice() as device:
        there, terms = moved(work, terms)
        train, start = ENGINES[engine](there, 1), there.model.vector.clone()
        device.forget()
        updates = train(start, COHORT, 2, terms)
        waits = Counter(device.waits)
        assert updates.deltas.device.type == DEVICE.type
        return updates._replace(deltas=updates.deltas.cpu()), waits


OPTIONS = ("plain", "momentum and weight decay", "corrected", "everything")
CASES = [
    *((engine, "mlp", options) for engine in ("loop", "stacked", "vmap") for options in OPTIONS),
    *(("stacked", model, "plain") for model in ("linear", "logistic")),
    *((engine, "cnn", "plain") for engine in ("loop", "vmap")),
]


@pytest.mark.parametrize(("engine", "model", "options"), CASES)
def test_an_engine_takes_the_same_steps_on_a_device(engine, model, options, local_work):
    work, terms = _case(local_work, model, options)
    expected = ENGINES[engine](work, 1)(work.model.vector, COHORT, 2, terms)
    updates, _ = waits_of(engine, work, terms)
    assert _distance(updates, expected) < 1e-12


# Not dropout, nor the noise of private steps: their numbers are drawn on the CPU, the same for every device.
WORK = {
    "plain": ({}, False),
    "momentum": ({"momentum": 0.9, "weight_decay": 0.1, "max_gradient_norm": 0.5}, False),
    "adam": ({"optimiser": "adam", "learning_rate": 0.01}, False),
    "weighted": ({}, True),
}


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        pytest.param(
            engine, options, marks=pytest.mark.nightly if engine == "vmap" and options != "plain" else ()
        )
        for engine in ("loop", "stacked", "vmap")
        for options in WORK
    ],
)
def test_no_local_step_waits_for_the_device(engine, options, local_work):
    local, weighted = WORK[options]
    of_length = {}
    for epochs in (1, 2):
        given = {"batch_size": 4, "learning_rate": 0.05, "epochs": epochs, **local}
        work = local_work("mlp", dtype=torch.float32, weighted=weighted, **{**MODEL_ROWS["mlp"], **given})
        _, of_length[epochs] = waits_of(engine, work, LocalTerms())
    if engine == "loop":  # the order of a client's epoch is copied when it begins
        assert of_length[2] - of_length[1] == {"copies to the device": len(COHORT)}
        assert of_length[1]["copies from the device"] == 1
    else:
        assert of_length[2] == of_length[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"engine": {}}, {"algorithm": "scaffold"}, {"algorithm": "ditto"}], ids=str
)
def test_a_run_on_a_device_is_that_of_the_cpu(changes, monkeypatch):
    """Everything around local training too: broadcast, codecs, aggregation, evaluation."""

    def run() -> tuple[torch.Tensor, dict[str, float]]:
        setup = prepare(config_of(rounds=2, clients=4, **changes))
        state = train_rounds(initial_state(setup), setup, 2)
        return state.parameters, dict(evaluate(state, setup))

    parameters, metrics = run()
    monkeypatch.setattr("federated.run.setup.device_of", lambda name: DEVICE)
    with PretendDevice():
        there, found = run()
        assert there.device.type == DEVICE.type
        assert torch.equal(there.cpu(), parameters)
    assert found == pytest.approx(metrics, nan_ok=True)


@pytest.mark.cuda
@pytest.mark.parametrize("engine", ["loop", "stacked", "vmap"])
def test_on_cuda_no_local_step_waits(engine, local_work):
    """By torch's own count of operations that wait for the GPU."""
    of_length = {}
    for epochs in (2, 6):
        work = local_work("mlp", dtype=torch.float32, batch_size=4, epochs=epochs, **MODEL_ROWS["mlp"])
        there = on_cuda(work)
        train, start = ENGINES[engine](there, 1), there.model.vector.clone()
        train(start, COHORT, 1)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as waited:
                warnings.simplefilter("always")
                train(start, COHORT, 2)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        of_length[epochs] = sum("synchronizing" in str(each.message) for each in waited)
    assert of_length[6] == of_length[2]
