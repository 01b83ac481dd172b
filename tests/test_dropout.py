"""Dropout: its masks are a function of (seed, round, client, layer), the same in every engine."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from federated.config.run import Engine
from federated.foundation.randomness import Purpose, generator
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.dropout import DropoutGenerators, Masks
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.vmapped import vmapped_trainer

COHORT = [3, 5, 0, 1, 2, 4]
LOCAL = {"epochs": 3, "batch_size": 4, "learning_rate": 0.1, "momentum": 0.5}

STACKS = {
    "hidden": lambda: nn.Sequential(nn.Linear(4, 70), nn.ReLU(), nn.Dropout(0.5), nn.Linear(70, 3)),
    "inputs": lambda: nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 80), nn.Tanh(), nn.Linear(80, 3)),
    "both": lambda: nn.Sequential(
        nn.Dropout(0.2),
        nn.Linear(4, 9),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(9, 8),
        nn.Dropout(0.5),
        nn.Linear(8, 3),
    ),
    "before ReLU": lambda: nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.4), nn.ReLU(), nn.Linear(9, 3)),
    "of no share": lambda: nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.0), nn.Dropout(0.4), nn.Linear(9, 3)),
}


class _Shared(nn.Module):
    """One dropout layer in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.drop = nn.Linear(4, 4), nn.Linear(4, 3), nn.Dropout(0.3)

    def forward(self, x):
        return self.last(self.drop(torch.relu(self.first(self.drop(x)))))


def _vmapped(work):
    return side_by_side(work, lambda: vmapped_trainer(work), 2, 2)


def _stacked(work, threads=1):
    assert linear_stack(work) is not None
    return local_trainer(work, Engine(name="vectorised"), COHORT, threads)


def _assert_same(updates, expected):
    assert float((updates.deltas - expected.deltas).abs().max()) < 1e-12
    assert float(expected.deltas.abs().max(dim=1).values.min()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("stack", STACKS)
def test_every_engine_drops_the_same(stack, local_work):
    work = local_work(STACKS[stack](), **LOCAL)
    expected = loop_trainer(*work)(work.model.vector, COHORT, 2)
    _assert_same(_stacked(work)(work.model.vector, COHORT, 2), expected)
    _assert_same(_vmapped(work)(work.model.vector, COHORT, 2), expected)


def test_a_layer_in_two_places_is_left_to_others_which_agree(local_work):
    work = local_work(_Shared(), **LOCAL)
    _assert_same(
        _vmapped(work)(work.model.vector, COHORT, 2), loop_trainer(*work)(work.model.vector, COHORT, 2)
    )
    drop = nn.Dropout(0.3)
    assert (
        linear_stack(local_work(nn.Sequential(drop, nn.Linear(4, 4), nn.ReLU(), drop, nn.Linear(4, 3))))
        is None
    )


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Dropout(0.5, inplace=True), nn.Linear(8, 3)),
        (nn.Dropout(1.0), nn.Linear(8, 3)),
        (nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 3)),
        (nn.Dropout(0.5), nn.Dropout(0.5), nn.Linear(8, 3)),
        (nn.Linear(8, 3), nn.Dropout(0.5)),
    ],
    ids=["in place", "everything", "before tanh", "twice", "of the outputs"],
)
def test_what_the_stack_does_not_drop_is_left_to_others(layers, local_work):
    work = local_work(nn.Sequential(nn.Linear(4, 8), *layers), **LOCAL)
    assert linear_stack(work) is None
    start = work.model.vector
    assert torch.equal(
        loop_trainer(*work)(start, COHORT, 1).deltas[1], loop_trainer(*work)(start, COHORT[1:2], 1).deltas[0]
    )


def test_a_step_with_dropout_by_hand(local_work):
    work = local_work(STACKS["hidden"](), epochs=1, batch_size=None, learning_rate=0.3)
    module, held = work.model.independent_module(), torch.from_numpy(work.clients[0])
    order = generator(work.seed, Purpose.BATCHES, 4, 0).permutation(len(held))
    uniform = generator(work.seed, Purpose.DROPOUT, 4, 0, 0).random((len(held), 70), np.float32)
    inputs, targets = work.inputs[held[order]], work.targets[held[order]]
    hidden = torch.relu(module[0](inputs)) * torch.from_numpy(uniform < 0.5) * 2
    loss = nn.functional.cross_entropy(module[3](hidden), targets)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, module.parameters())])
    updates = _stacked(work)(work.model.vector, [0], 4)
    assert torch.allclose(updates.deltas[0], -0.3 * gradient, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_is_kept(rate):
    masks = Masks(nn.Sequential(nn.Linear(1, 1), nn.Dropout(rate)))
    masks.draw_from(DropoutGenerators(0, 0, 0))
    mask = masks.draw(0, torch.empty(400, 500, dtype=torch.float64))
    assert {round(value, 12) for value in mask.unique().tolist()} == {0.0, round(1 / (1 - rate), 12)}
    error = (rate / (1 - rate) / mask.numel()) ** 0.5  # standard error of the mean of such a mask
    assert abs(float(mask.mean()) - 1) < 5 * error


@pytest.mark.parametrize("train", [_stacked, _vmapped, lambda work: loop_trainer(*work)])
def test_masks_are_a_function_of_seed_round_and_client(train, local_work):
    work = local_work(STACKS["both"](), dtype=torch.float32, **LOCAL)
    start = work.model.vector
    first = train(work)(start, COHORT, 1).deltas
    torch.manual_seed(5)  # torch's generator has no part in it
    assert torch.equal(first, train(work)(start, COHORT, 1).deltas)
    assert torch.equal(first, train(work)(start, COHORT[::-1], 1).deltas.flip(0))
    for low, high in pairwise([0, 1, 3, 6]):
        part = train(work)(start, COHORT[low:high], 1).deltas
        assert torch.allclose(part, first[low:high], rtol=0, atol=1e-6)
    assert not torch.allclose(first, train(work)(start, COHORT, 2).deltas, atol=1e-3)
    assert not torch.allclose(first, train(work._replace(seed=4))(start, COHORT, 1).deltas, atol=1e-3)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_drop_the_same(threads, local_work):
    work = local_work(STACKS["both"](), **LOCAL)
    alone = loop_trainer(*work)(work.model.vector, COHORT, 1)
    assert torch.equal(
        loop_trainer(*work, threads=threads)(work.model.vector, COHORT, 1).deltas, alone.deltas
    )
    _assert_same(_stacked(work, threads)(work.model.vector, COHORT, 1), alone)


def test_the_model_of_the_run_keeps_its_own_layers(local_work):
    work = local_work(STACKS["hidden"](), **LOCAL)
    for train in (_stacked, _vmapped, lambda work: loop_trainer(*work)):
        train(work)(work.model.vector.clone(), COHORT, 0)
    assert [type(layer) for layer in work.model.module] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
