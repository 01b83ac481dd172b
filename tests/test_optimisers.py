"""Optimisers of local training, step by step against torch.optim, and what does not go with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from federated.algorithms import ALGORITHMS
from federated.algorithms.local_terms import LocalTerms
from federated.config.run import LocalTraining, RunConfig
from federated.extension_points.kinds import ALGORITHM, OPTIMISER
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.local_training.engine import ENGINES, local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.batches import epoch_orders
from federated.local_training.steps.work import LocalWork
from federated.optimisers import OPTIMISERS
from federated.run.setup import prepare

BASE = {"dataset": "digits", "clients": 5, "model": "logistic", "rounds": 2}


def _torch(name: str, parameters: Any, local: LocalTraining) -> torch.optim.Optimizer:
    """torch's optimiser of the same name."""
    rate, decay, given = local.learning_rate, local.weight_decay, local.optimiser.arguments
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=local.momentum, weight_decay=decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    betas = (given["beta1"], given["beta2"])
    return kind(parameters, lr=rate, betas=betas, eps=given["epsilon"], weight_decay=decay)


LOCAL: dict[str, list[dict[str, Any]]] = {
    "sgd": [{"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}],
    "adam": [
        {"optimiser": "adam", "learning_rate": 0.01, "epochs": 3},
        {
            "optimiser": "adam(beta1=0.5, beta2=0.9, epsilon=1e-3)",
            "learning_rate": 0.02,
            "steps": 5,
            "weight_decay": 0.3,
        },
        {"optimiser": "adam(beta1=0)", "learning_rate": 0.01, "max_gradient_norm": 0.1, "batch_size": None},
    ],
    "adamw": [
        {"optimiser": "adamw", "learning_rate": 0.01, "epochs": 2, "weight_decay": 0.3},
        {"optimiser": "adamw(0.8, 0.9)", "learning_rate": 0.02, "steps": 9, "max_gradient_norm": 0.2},
    ],
}


def test_every_optimiser_has_a_row() -> None:
    assert set(LOCAL) == set(OPTIMISERS)


def _by_torch(work: LocalWork, name: str, client: int, done: int, mu: float) -> torch.Tensor:
    """The oracle: torch.optim and a plain loop over the same batches, the proximal term in the objective."""
    local, held = work.local, work.clients[client]
    module = work.model.twin().module.train()
    received = [p.detach().clone() for p in module.parameters()]
    optimiser = _torch(name, module.parameters(), local)
    size = local.batch_size or len(held)
    numbers = generator(work.seed, Purpose.BATCHES, done, client)
    for order in epoch_orders(numbers, held, local.batch_size, int(local.passes), local.steps):
        for start in range(0, len(order), size):
            batch = torch.from_numpy(order[start : start + size])
            optimiser.zero_grad()
            F.cross_entropy(module(work.inputs[batch]), work.targets[batch]).backward()
            if local.max_gradient_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), local.max_gradient_norm)
            for parameter, first in zip(module.parameters(), received, strict=True):
                parameter.grad += mu * (parameter.detach() - first)
            optimiser.step()
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


@pytest.mark.parametrize("mu", [0.0, 0.7])
@pytest.mark.parametrize(("name", "local"), [(name, each) for name in LOCAL for each in LOCAL[name]])
def test_the_loop_takes_the_steps_of_torch_optim(
    name: str, local: dict[str, Any], mu: float, local_work: Callable[..., LocalWork]
) -> None:
    work = local_work(
        nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), **{"batch_size": 4, **local}
    )
    start = work.model.vector.clone()
    for done in (0, 3):  # a round begins as if there had been none before
        updates = loop_trainer(*work)(start, [2, 5], done, LocalTerms(proximal=mu))
        for row, client in enumerate([2, 5]):
            expected = _by_torch(work, name, client, done, mu) - start
            assert torch.allclose(updates.deltas[row], expected, rtol=0, atol=1e-10)
            assert float(expected.abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("local", "wrong"),
    [
        ({"optimiser": "adam"}, "state learning_rate with optimiser adam"),
        ({"optimiser": "adamw", "learning_rate": 0.01, "momentum": 0.9}, "momentum 0.9 is of sgd"),
        ({"optimiser": "rmsprop", "learning_rate": 0.01}, "there is no optimiser 'rmsprop'"),
        ({"optimiser": "adam(beta1=1)", "learning_rate": 0.01}, "beta1 must be from 0 up to 1"),
        ({"optimiser": "adam(beta2=-0.1)", "learning_rate": 0.01}, "beta2 must be from 0 up to 1"),
        ({"optimiser": "adamw(epsilon=0)", "learning_rate": 0.01}, "epsilon must be a finite number > 0"),
        ({"optimiser": "sgd(momentum=0.9)"}, "there is no argument 'momentum'"),
    ],
)
def test_local_training_that_makes_no_sense_is_refused(local: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        RunConfig(**BASE, local=local)


def test_control_variates_want_sgd() -> None:
    adam = {"optimiser": "adam", "learning_rate": 0.01}
    with pytest.raises(ValueError, match=r"algorithm: scaffold with local\.optimiser: adam: .*use sgd"):
        RunConfig(**BASE, algorithm="scaffold", local=adam)
    for algorithm in ("fedavg", "fedprox", "fedadam(server_learning_rate=0.01)"):
        RunConfig(**BASE, algorithm=algorithm, local=adam)


def test_an_optimiser_that_is_stated_counts_in_the_run_key() -> None:
    plain = RunConfig(**BASE)
    assert RunConfig(**BASE, local={"optimiser": "sgd"}).run_key() == plain.run_key()
    adam, other = (
        RunConfig(**BASE, local={"optimiser": name, "learning_rate": 0.1}) for name in ("adam", "adam(0.8)")
    )
    assert len({plain.run_key(), adam.run_key(), other.run_key()}) == 3
    assert RunConfig.model_validate_json(adam.model_dump_json()) == adam


OWN = '''
from federated.optimisers import Optimiser

def normalised(size: float = 1.0):
    """Steps of one length."""
    def direction(memory, gradient, step):
        return gradient * (size / gradient.norm(dim=-1, keepdim=True))
    return Optimiser(direction=direction)

def broken():
    return Optimiser(direction=lambda memory, gradient, step: gradient[..., :2])

def drawing():
    import torch
    return Optimiser(direction=lambda memory, gradient, step: torch.rand_like(gradient))
'''


def test_a_person_s_own_optimiser_is_trained_with_by_the_loop(
    own: Callable[[str], str], local_work: Callable[..., LocalWork]
) -> None:
    name = own(inspect.cleandoc(OWN))
    stated = {"name": f"{name}:normalised", "size": 2}
    work = local_work(nn.Linear(4, 3), optimiser=stated, learning_rate=0.25, steps=1)
    for engine in ("stacked", "vmap"):
        with pytest.raises(ValueError, match="optimiser"):
            ENGINES[engine](work, 1)
    config = RunConfig(**BASE, local={"optimiser": stated, "learning_rate": 0.25})
    moved = local_trainer(work, config.engine, [1, 2])(work.model.vector, [1, 2], 0).deltas
    assert moved.norm(dim=1).tolist() == pytest.approx([0.5, 0.5])
    assert prepare(config).config.local.optimiser.label() == "normalised(size=2.0)"


@pytest.mark.parametrize(
    ("function", "wrong"),
    [("broken", r"direction must return float32 \[1, 650\], got"), ("drawing", "returns something else")],
)
def test_a_person_s_own_optimiser_is_tried_before_it_trains(
    function: str, wrong: str, own: Callable[[str], str]
) -> None:
    name = own(inspect.cleandoc(OWN))
    config = RunConfig(**BASE, local={"optimiser": f"{name}:{function}", "learning_rate": 0.1})
    with pytest.raises(OwnCodeFailed, match=f"optimiser: .*{function}.*{wrong}"):
        prepare(config)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_what_is_registered_is_elementwise_and_says_so(name: str) -> None:
    assert OPTIMISER.bind(name).build().elementwise
    assert "Every engine." in inspect.getdoc(OPTIMISERS[name]).partition("\n")[0]


def test_the_page_names_every_algorithm_that_wants_sgd() -> None:
    page = (Path(__file__).parents[1] / "docs" / "losses.md").read_text(encoding="utf-8")
    section = page.partition("## Optimisers")[2].partition("so they want")[0]
    made = {name: ALGORITHM.bind(name) for name in ALGORITHMS if name not in ("fedper", "sign_majority")}
    wanting = {name for name, choice in made.items() if choice.build().client.reads_gradients}
    assert {"scaffold", "fednova"} < wanting
    assert all(f"`{name}`" in section for name in wanting)
