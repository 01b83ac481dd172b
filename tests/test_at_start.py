"""What clients compute with the received model before their first step, against torch's own modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from federated.local_training import at_start as module
from federated.local_training.at_start import at_start
from federated.local_training.steps.work import LocalWork
from federated.losses import of_positions, usual_loss
from federated.metrics.tasks import TASKS


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3))


@pytest.mark.parametrize("most", [1024, 3])
@pytest.mark.parametrize("own_models", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_torch_s_loss_and_gradient_in_evaluation_mode(
    weighted: bool,
    own_models: bool,
    most: int,
    local_work: Callable[..., LocalWork],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one pass, or in parts of three examples; with one model for all, or one for each."""
    monkeypatch.setattr(module, "_MOST_EXAMPLES", most)
    work, clients = local_work(network(), weight_decay=0.1, weighted=weighted), [3, 0, 5]
    received = work.model.vector + torch.from_numpy(
        np.random.default_rng(2).random((3, len(work.model.vector))) / 10
    )
    received = received if own_models else received[0]
    before = received.clone()
    found = at_start(work, received, clients, 2, gradients=True)
    only_losses = at_start(work, received, clients, 1, gradients=False)
    assert torch.equal(received, before)
    assert only_losses.gradients is None
    assert torch.equal(only_losses.losses, found.losses)
    assert found.gradients is not None
    for row, client in enumerate(clients):
        own = work.model.twin()
        own.load(received[row] if own_models else received)
        own.module.eval()
        held = torch.from_numpy(work.clients[client])
        each = nn.functional.cross_entropy(
            own.module(work.inputs[held]), work.targets[held], reduction="none"
        )
        loss = (each if work.weights is None else each * work.weights[held]).mean()
        penalty = sum((0.05 * p.square().sum() for p in own.module.parameters()), torch.zeros(()))
        expected = torch.autograd.grad(loss + penalty, list(own.module.parameters()))
        flat = torch.cat([part.reshape(-1) for part in expected])
        assert float(found.losses[row]) == pytest.approx(float(loss.detach()), rel=1e-12)
        assert torch.allclose(found.gradients[row], flat, rtol=0, atol=1e-12)


class Tagger(nn.Module):
    """Three scores at each of two positions, of four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(2, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scores(inputs.view(-1, 2, 2))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [1024, 3])
def test_of_sequences_each_position_counts_alike_in_parts_of_any_size(
    weighted: bool, most: int, local_work: Callable[..., LocalWork], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequences of 0, 1 and 2 positions; the mean is over the client's positions, with weights of its sequences."""
    monkeypatch.setattr(module, "_MOST_EXAMPLES", most)
    made = local_work(Tagger(), loss=of_positions(usual_loss(TASKS["classification"])), weighted=weighted)
    tags = torch.from_numpy(np.random.default_rng(1).integers(3, size=(len(made.targets), 2)))
    tags[::2, 1] = -1
    tags[::5] = -1
    work, clients = made._replace(targets=tags), [2, 0, 5]
    found = at_start(work, work.model.vector.clone(), clients, 1, gradients=True)
    assert found.gradients is not None
    for row, client in enumerate(clients):
        held = torch.from_numpy(work.clients[client])
        own = work.model.twin()
        own.load(work.model.vector)
        real = tags[held] >= 0
        each = nn.functional.cross_entropy(
            own.module(work.inputs[held])[real], tags[held][real], reduction="none"
        )
        factors = torch.ones(len(held), 1) if work.weights is None else work.weights[held, None]
        loss = (each * factors.expand(-1, 2)[real]).sum() / int(real.sum())
        expected = torch.autograd.grad(loss, list(own.module.parameters()))
        assert float(found.losses[row]) == pytest.approx(float(loss.detach()), rel=1e-6)
        flat = torch.cat([part.reshape(-1) for part in expected])
        assert torch.allclose(found.gradients[row], flat, rtol=0, atol=1e-6)
