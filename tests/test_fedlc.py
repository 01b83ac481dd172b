"""FedLC: the margins of each client's own classes, in training alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from federated.algorithms import ALGORITHMS, Holdings
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare


def run(algorithm: str, **changes: Any) -> Setup:
    content = {
        "dataset": "digits",
        "model": "logistic",
        "clients": 3,
        "partitioner": "dirichlet(0.1)",
        "algorithm": algorithm,
        "local": {"batch_size": None, "steps": 2, "learning_rate": 0.5},
        "rounds": 2,
        "engine": {"name": "loop"},
    }
    return prepare(RunConfig.model_validate({**content, **changes}))


def test_outputs_and_loss_by_hand() -> None:
    """16 examples and one: 1 - 16^(-1/4) = .5 and 0 - 1 = -1, whose loss is log(1 + e^-1.5)."""
    counts = np.array([[16, 1], [0, 4]])
    algorithm = ALGORITHMS["fedlc"](tau=1.0).fitted(Holdings((), counts, torch.nn.Identity()))
    offsets = algorithm.terms({}, [0, 1], {}).offsets
    assert offsets is not None
    calibrated = torch.tensor([1.0, 0.0], dtype=torch.float64) + offsets[0]
    assert calibrated.tolist() == pytest.approx([0.5, -1.0])
    loss = float(F.cross_entropy(calibrated[None], torch.tensor([0])))
    assert loss == pytest.approx(0.201413278, abs=1e-9)
    assert loss == pytest.approx(math.log(1 + math.exp(-1.5)))
    assert offsets[1].tolist() == pytest.approx([-100.0, -(4**-0.25)])


def test_rounds_are_those_of_a_loop_of_torch() -> None:
    """Every client with its own counts, which are unlike; running the same counts for all gives another model."""
    setup = run("fedlc(0.7)")
    state = train_rounds(initial_state(setup), setup, 2)
    expected, sizes = setup.initial_parameters.clone(), setup.federation.sizes
    for _ in range(2):
        total = torch.zeros_like(expected)
        for client, held in enumerate(setup.trainers.holders.indices):
            module = setup.model.independent_module(expected)
            counts = np.bincount(setup.federation.examples.targets[held], minlength=10)
            margins = torch.from_numpy(0.7 * np.maximum(counts, 1e-8) ** -0.25).float()
            inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
            optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
            for _ in range(2):
                optimiser.zero_grad()
                F.cross_entropy(module(inputs) - margins, targets).backward()
                optimiser.step()
            trained = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
            total += float(sizes[client] / sizes.sum()) * (trained - expected)
        expected = expected + total
    assert torch.allclose(state.parameters, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(
        state.parameters, train_rounds(initial_state(setup), run("fedavg"), 2).parameters
    )


def test_tau_of_zero_is_fedavg_bit_for_bit() -> None:
    plain, none = run("fedavg"), run("fedlc(0)")
    assert torch.equal(*(train_rounds(initial_state(each), each, 2).parameters for each in (plain, none)))


@pytest.mark.parametrize("model", ["mlp([8])", "logistic"])
def test_a_fast_engine_does_what_the_loop_does(model: str) -> None:
    slow, fast = (run("fedlc", model=model, engine={"name": name}) for name in ("loop", "auto"))
    first, second = (train_rounds(initial_state(each), each, 2).parameters for each in (slow, fast))
    assert torch.allclose(first, second, rtol=0, atol=2e-5)


def test_it_is_for_classes() -> None:
    with pytest.raises(BadInput, match=r"algorithm: fedlc: it counts classes, and the targets are none"):
        run("fedlc", dataset="linear", model="linear", partitioner="iid")


OWN = """
import torch
from federated.algorithms import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
def wide():
    return fedavg()._replace(terms=lambda state, clients, own: LocalTerms(offsets=torch.zeros(len(clients), 3)))
def flat():
    return fedavg()._replace(terms=lambda state, clients, own: LocalTerms(offsets=torch.zeros(3)))
def nothing():
    return fedavg()._replace(fit=lambda holdings: None)
def fails():
    return fedavg()._replace(fit=lambda holdings: 1 / 0)
def counts():
    def fit(holdings):
        offsets = torch.from_numpy(-1.0 * (holdings.class_counts == 0))
        return fedavg()._replace(terms=lambda state, clients, own: LocalTerms(offsets=offsets[list(clients)]))
    return fedavg()._replace(fit=fit)
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("wide", r"terms must give an offset for each of the model's 10 outputs, got float32 \[1, 3\]"),
        (
            "flat",
            r"terms must give offsets as a tensor \[1, outputs\], a row for each client, got float32 \[3\]",
        ),
        ("nothing", r"fit must return Algorithm\(...\), got nothing"),
        ("fails", r"cannot work with this model and data: ZeroDivisionError"),
    ],
)
def test_an_algorithm_of_one_s_own_is_held_to_it(
    factory: str, message: str, own: Callable[[str], str]
) -> None:
    with pytest.raises(BadInput, match=message):
        run(f"{own(OWN)}:{factory}")


def test_an_algorithm_of_one_s_own_knows_the_classes_too(own: Callable[[str], str]) -> None:
    setup = run(f"{own(OWN)}:counts")
    offsets = setup.parts.algorithm.terms({}, [0, 1, 2], {}).offsets
    assert offsets is not None
    held = [np.unique(setup.federation.examples.targets[each]) for each in setup.federation.clients]
    assert [int((row == 0).sum()) for row in offsets] == [len(classes) for classes in held]
