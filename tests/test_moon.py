"""MOON: the contrast by hand, where a model has its representation, and rounds against a loop of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.local_training.contrasting import contrast_loss
from federated.models.objective import model_inputs
from federated.models.representation import Place, representation_of, watched
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import train

STEPS, RATE, MU, TEMPERATURE = 2, 0.3, 2.0, 0.7


def test_the_contrast_by_hand() -> None:
    """Cosines of (1, 0) with (1, 1) and (0, 1) are 1 / sqrt(2) and 0."""
    now, received, previous = (torch.tensor([each]) for each in ((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    assert float(contrast_loss(now, received, previous, 0.5)) == pytest.approx(0.217621722, abs=1e-7)
    assert float(contrast_loss(now, received, received, 0.5)) == pytest.approx(math.log(2), abs=1e-7)


class Named(nn.Sequential):
    def __init__(self, representation: Any, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.representation = representation


def plain(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), *more)


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (plain(), Place("2", "input")),
        (plain(nn.Softmax(dim=1)), Place("2", "input")),
        (Named("1", nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), Place("1", "output")),
        (Named(nn.ReLU(), nn.Linear(4, 6)), Place("representation", "output")),
    ],
)
def test_a_model_has_its_representation_before_the_last_layer_or_where_it_says(
    model: nn.Module, place: Place
) -> None:
    assert representation_of(model) == place


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
            "in a model of one layer; give the model an attribute",
        ),
        (nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6)), "the last layer, 1, is LayerNorm and not Linear"),
        (Named("neck", nn.Linear(4, 6), nn.Linear(6, 3)), "must name one of its modules, got 'neck'"),
        (Named(3, nn.Linear(4, 6), nn.Linear(6, 3)), "must name one of its modules, got 3"),
    ],
)
def test_where_none_can_be_found_the_error_says_what_to_do(model: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        representation_of(model)


MODELS = """
from torch import nn
def normalised(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, num_outputs))
def with_dropout(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, num_outputs))
"""


def run(algorithm: str = f"moon({MU}, {TEMPERATURE})", rounds: int = 3, **changes: Any) -> Setup:
    content = {
        "dataset": "digits",
        "model": "mlp([8])",
        "clients": 3,
        "partitioner": "dirichlet(0.5)",
        "algorithm": algorithm,
        "local": {"batch_size": None, "steps": STEPS, "learning_rate": RATE},
        "rounds": rounds,
    }
    return prepare(RunConfig.model_validate({**content, **changes}))


def through(setup: Setup, vector: Tensor) -> tuple[nn.Module, Callable[[], Tensor]]:
    module = setup.model.independent_module(vector)
    return module, watched(module, representation_of(module))


def by_torch(setup: Setup, rounds: int) -> Tensor:
    """The model after the rounds, of a loop that follows the authors': no contrast before a client's first turn."""
    server, sizes = setup.initial_parameters.clone(), setup.federation.sizes
    previous: dict[int, Tensor] = {}
    for _ in range(rounds):
        total = torch.zeros_like(server)
        for client, held in enumerate(setup.trainers.holders.indices):
            inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
            module, now = through(setup, server)
            optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
            for _ in range(STEPS):
                optimiser.zero_grad()
                loss = F.cross_entropy(module(inputs), targets)
                if client in previous:
                    others = []
                    for vector in (server, previous[client]):
                        still, seen = through(setup, vector)
                        still(inputs)
                        others.append(F.cosine_similarity(now(), seen().detach()) / TEMPERATURE)
                    share = others[0].exp() / (others[0].exp() + others[1].exp())
                    loss = loss - MU * share.log().mean()
                loss.backward()
                optimiser.step()
            previous[client] = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
            total += float(sizes[client] / sizes.sum()) * (previous[client] - server)
        server = server + total
    return server


def test_rounds_are_those_of_a_loop_of_torch() -> None:
    setup = run()
    found = train_rounds(initial_state(setup), setup, 3).parameters
    assert torch.allclose(found, by_torch(setup, 3), rtol=0, atol=1e-5)
    plain = run("fedavg")
    assert float((found - train_rounds(initial_state(plain), plain, 3).parameters).abs().max()) > 1e-3


def test_its_first_round_is_fedavg_s_bit_for_bit_and_the_next_is_not() -> None:
    for rounds, same in ((1, True), (2, False)):
        moon, plain = run(), run("fedavg", engine={"name": "loop"})
        first, second = (train_rounds(initial_state(each), each, rounds).parameters for each in (moon, plain))
        assert torch.equal(first, second) is same


def test_threads_shards_and_a_checkpoint_in_between_change_nothing(
    tmp_path: Path, own: Callable[[str], str]
) -> None:
    """With dropout, of which the two models that are not trained have none."""
    model, cohort = f"{own(MODELS)}:with_dropout", {"size": 2}
    setup = run(model=model, cohort=cohort, rounds=4)
    whole = train_rounds(initial_state(setup), setup, 4)
    cut = replace(run(model=model, cohort=cohort, rounds=4, orchestration={"threads": 2}), shard_size=1)
    save(Course(train_rounds(initial_state(cut), cut, 2)), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, cut, 4)
    assert torch.equal(whole.parameters, again.parameters)
    first, second = (state.clients["algorithm"] for state in (whole, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[client]["model"], second[client]["model"]) for client in first)


def test_the_loss_of_training_leaves_the_contrast_out() -> None:
    """One step on all examples: the loss of a round is the cross-entropy of the model that it began with."""
    setup = run("moon(10)", local={"batch_size": None, "steps": 1, "learning_rate": RATE})
    course = train(Course(initial_state(setup)), setup, 2)
    begun = train_rounds(initial_state(setup), setup, 1).parameters
    held = np.concatenate(setup.trainers.holders.indices)
    outputs = setup.model.independent_module(begun)(model_inputs(setup.inputs[held]))
    expected = float(F.cross_entropy(outputs, setup.targets[held]).detach())
    assert course.history[-1][1]["train/loss"] == pytest.approx(expected, rel=1e-5)


def test_a_client_remembers_its_model_and_how_often_it_had_its_turn() -> None:
    setup = run(rounds=2)
    state = train_rounds(initial_state(setup), setup, 2)
    assert [float(kept["turns"]) for kept in state.clients["algorithm"].values()] == [2.0] * 3
    mean = sum(
        float(weight) * state.clients["algorithm"][client]["model"]
        for client, weight in enumerate(setup.federation.sizes / np.sum(setup.federation.sizes))
    )
    assert torch.allclose(state.parameters, torch.as_tensor(mean), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("logistic", "algorithm: moon: no representation can be found in a model of one layer"),
        ("normalised", "algorithm: moon: the model has running statistics, in 2; use another"),
    ],
)
def test_models_that_it_cannot_train_are_refused(model: str, message: str, own: Callable[[str], str]) -> None:
    with pytest.raises(BadInput, match=message):
        run("moon", model=model if model == "logistic" else f"{own(MODELS)}:{model}")
