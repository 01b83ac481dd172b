"""Gradients of a batch added up over pieces of it: the same step, whatever is asked of the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from federated.algorithms.local_terms import Contrast, LocalTerms, Phase
from federated.algorithms.own_steps import OwnSteps
from federated.config.engine import Engine
from federated.foundation.errors import BadInput
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.work import LocalWork
from federated.losses import usual_loss
from federated.losses.of_positions import of_positions
from federated.metrics.tasks import TASKS
from federated.models.flat_model import FlatModel

COHORT = [2, 0, 5, 1]


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def _size(work: LocalWork) -> int:
    return work.model.num_trainable


ASKED: dict[str, Callable[[LocalWork], LocalTerms]] = {
    "nothing": lambda work: LocalTerms(),
    "a part that moves": lambda work: LocalTerms(phases=(Phase(torch.arange(_size(work)) < 30),)),
    "a contrast": lambda work: LocalTerms(
        contrast=Contrast(0.7, 0.5, torch.ones(4, _size(work), dtype=torch.float64) / 3, np.ones(4, bool))
    ),
    "own steps": lambda work: LocalTerms(own_steps=OwnSteps(_two_gradients, {})),
}


def _two_gradients(walk: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    at = walk.start
    for batch in walk.batches:
        at = at - walk.rate * walk.gradient(at - 0.1 * walk.gradient(at, batch), batch)
    return at, {}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("local", [{"momentum": 0.5}, {"optimiser": "adamw", "learning_rate": 0.01}])
def test_pieces_take_the_step_of_the_whole_batch(
    asked: str, local: dict[str, Any], local_work: Callable[..., LocalWork]
) -> None:
    """To rounding in double precision, with weights, and pieces that do not divide the batch."""
    work = local_work(_model(), weighted=True, batch_size=8, max_gradient_norm=0.5, **local)
    terms = ASKED[asked](work)
    expected = loop_trainer(*work)(work.model.vector, COHORT, 2, terms)
    for size in (1, 3, 100):
        found = loop_trainer(*work._replace(micro_batch=size))(work.model.vector, COHORT, 2, terms)
        torch.testing.assert_close(found.deltas, expected.deltas, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found.losses, expected.losses)


def test_positions_that_are_padding_do_not_count(local_work: Callable[..., LocalWork]) -> None:
    """A mean over positions is no mean of means over examples; a piece may be padding alone."""

    class OfPositions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layer(inputs[..., None])  # type: ignore[no-any-return]

    work = local_work(OfPositions(), batch_size=4, learning_rate=0.5)
    numbers = np.random.default_rng(3)
    targets = torch.from_numpy(numbers.integers(-1, 3, size=tuple(work.inputs.shape)))
    targets[::3] = -1
    work = work._replace(targets=targets, loss=of_positions(usual_loss(TASKS["classification"])))
    expected = loop_trainer(*work)(work.model.vector, COHORT, 0)
    assert float(expected.deltas.abs().max()) > 0.01
    for size in (1, 3):
        found = loop_trainer(*work._replace(micro_batch=size))(work.model.vector, COHORT, 0)
        torch.testing.assert_close(found.deltas, expected.deltas, rtol=1e-9, atol=1e-12)


def test_no_more_examples_go_through_the_model_at_once(local_work: Callable[..., LocalWork]) -> None:
    seen: list[int] = []

    class Counting(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append(len(input))
            return super().forward(input)

    work = local_work(Counting(4, 3), batch_size=None)._replace(micro_batch=5)
    local_trainer(work, Engine(), COHORT)(work.model.vector, COHORT, 0)
    assert max(seen) == 5
    assert sum(seen) == sum(len(work.clients[client]) for client in COHORT)


def test_what_pieces_would_change_is_refused(local_work: Callable[..., LocalWork]) -> None:
    normalised = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()
    work = local_work(_model())._replace(model=FlatModel(normalised), micro_batch=2)
    with pytest.raises(BadInput, match="1 normalises by the statistics of a batch"):
        local_trainer(work, Engine(), COHORT)
    normalised[1].requires_grad_(False)  # then it has statistics of its own, which stay
    local_trainer(work._replace(model=FlatModel(normalised)), Engine(), COHORT)
    with pytest.raises(
        ValidationError, match="vectorised takes whole batches of many clients, and micro_batch 2"
    ):
        Engine(name="vectorised", micro_batch=2)
