"""Batch normalisation without parameters: frozen within what is frozen, trained with what is trained."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from federated.models.flat_model import FlatModel
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from tests.conftest import config_of

MODEL = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.one, self.norm = nn.Linear(64, 8), nn.BatchNorm1d(8, affine=False)
        self.two, self.head = nn.Linear(8, 8), nn.Linear(8, num_outputs)
        self.norm.running_mean.fill_(0.3)
    def forward(self, inputs):
        hidden = torch.relu(self.norm(self.one(inputs.flatten(1))))
        return self.head(torch.relu(self.two(hidden)))
"""


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "trained", ["head", "lora(rank=2, targets=[two])", "lora(rank=2, targets=[one])", "full"]
)
def test_statistics_within_a_frozen_trunk_stay_and_do_not_travel(
    trained: str, own: Callable[[str], str]
) -> None:
    setup = prepare(config_of(model=f"{own(MODEL)}:Net", trained=trained))
    sent = setup.model.num_sendable - setup.model.num_trainable
    assert sent == (16 if trained == "full" else 0)
    above_the_norm = trained in ("head", "lora(rank=2, targets=[two])")
    assert (setup.of_inputs is not None) is above_the_norm, "what lies below the first trained layer is kept"
    ended = train_rounds(initial_state(setup), setup, 2)
    module = setup.whole_model.independent_module(ended.parameters)
    norm = module.get_submodule("norm" if hasattr(module, "norm") else "base_model.model.norm")
    assert isinstance(norm.running_mean, Tensor)
    assert torch.equal(norm.running_mean, torch.full((8,), 0.3)) is (trained != "full")


def _row(*frozen: int) -> nn.Module:
    """Dense layers 0, 2 and 4 with normalisation between them, of which some are frozen."""
    row = nn.Sequential(
        *(nn.Linear(4, 4) if at % 2 == 0 else nn.BatchNorm1d(4, affine=False) for at in range(5))
    )
    for at in frozen:
        row[at].requires_grad_(False)
    return row


def _probe() -> nn.Module:
    """A head as linear probes of masked autoencoders have it: normalisation without parameters, then the last layer."""
    body = nn.Linear(4, 4).requires_grad_(False)
    return nn.Sequential(body, nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2)))


PLACES: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "all before is frozen": (lambda: _row(0, 2), set()),
    "between trained layers": (lambda: _row(0), {"3"}),
    "after a trained layer": (lambda: _row(2, 4), {"1"}),
    "nothing is frozen": (_row, {"1", "3"}),
    "first of a head": (_probe, {"1.0"}),
}


@pytest.mark.parametrize("name", PLACES)
def test_it_is_trained_with_the_layer_whose_outputs_it_normalises(name: str) -> None:
    make, expected = PLACES[name]
    model = FlatModel(make(), rest_in_evaluation=True)
    model.train()
    norms = {at: part for at, part in model.module.named_modules() if isinstance(part, nn.BatchNorm1d)}
    assert {at.rpartition(".")[0] for at, _ in model.statistics} == expected
    assert {at for at, part in norms.items() if part.training} == expected
    assert FlatModel(make()).statistics == tuple(
        (f"{at}.{each}", (4,)) for at in norms for each in ("running_mean", "running_var")
    ), "without a stated part, as ever"
