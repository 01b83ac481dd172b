"""Stacks of dense layers on images of bytes, and with several threads of torch in their products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.dense.trainer import stacked_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.side_by_side import side_by_side
from federated.machine.torch_threads import keeps_bits, team

COHORT = [3, 5, 0, 1, 2, 4]

OPTIONS = {
    "plain": ({}, {}),
    "momentum and weight decay": ({"momentum": 0.9, "weight_decay": 0.1}, {}),
    "clipped": ({"max_gradient_norm": 0.5}, {}),
    "clipped with momentum": ({"max_gradient_norm": 0.5, "momentum": 0.9}, {}),
    "proximal": ({"momentum": 0.5}, {"proximal": 0.3}),
    "rates": ({}, {"rate_factors": np.array([1.0, 0.5, 2.0, 0.1, 1.5, 3.0])}),
}
MODELS = {
    "logistic": {},
    "mlp": {"arguments": {"hidden": (9,)}},
    "mlp in dual form": {"arguments": {"hidden": (70, 9)}},
    "linear": {"task": "regression"},
}
WIDE = {
    "one layer of many classes": nn.Sequential(nn.Flatten(), nn.Linear(36, 80)),
    "many classes after a wide layer": nn.Sequential(
        nn.Flatten(), nn.Linear(36, 300), nn.ReLU(), nn.Linear(300, 100)
    ),
}


def _of_bytes(local_work, model, options="plain", shape=(1, 6, 6), **more):
    local, terms = OPTIONS[options]
    work = local_work(
        model.split()[0],
        dtype=torch.float32,
        **{"shape": shape, "batch_size": 4, "learning_rate": 0.05, **MODELS[model], **local, **more},
    )
    numbers = torch.Generator().manual_seed(5)
    inputs = torch.randint(256, work.inputs.shape, dtype=torch.uint8, generator=numbers)
    return work._replace(inputs=inputs), LocalTerms(**terms)


def _stacked(work, clients_a_part=100, **options):
    layers = linear_stack(work)
    assert layers is not None
    return side_by_side(work, lambda: stacked_trainer(work, layers, **options), 1, clients_a_part)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_bytes_are_scaled_as_the_loop_scales_them(model, options, local_work):
    work, terms = _of_bytes(local_work, model, options)
    start = work.model.vector + 0.01
    updates, expected = (train(start, COHORT, 2, terms) for train in (_stacked(work), loop_trainer(*work)))
    assert torch.allclose(updates.deltas, expected.deltas, rtol=0, atol=2e-6)
    assert torch.allclose(updates.losses, expected.losses, rtol=1e-5)
    assert float(expected.deltas.abs().max(dim=1).values.min()) > 1e-4  # something was learnt


@pytest.mark.parametrize("batch_size", [1, 4, None])
@pytest.mark.parametrize("model", WIDE)
def test_many_classes_are_as_the_loop_has_them_with_any_threads(model, batch_size, local_work):
    work = local_work(
        WIDE[model],
        dtype=torch.float32,
        shape=(1, 6, 6),
        sizes=(7, 9, 12, 5, 1, 30) * 3,
        batch_size=batch_size,
    )
    inputs = torch.randint(
        256, work.inputs.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(5)
    )
    work, cohort = work._replace(inputs=inputs), list(range(18))
    alone = _stacked(work)(work.model.vector, cohort, 2)
    expected = loop_trainer(*work)(work.model.vector, cohort, 2)
    assert torch.allclose(alone.deltas, expected.deltas, rtol=0, atol=1e-5)
    for threads in (2, 4):
        assert torch.equal(_stacked(work, threads=threads)(work.model.vector, cohort, 2).deltas, alone.deltas)


@pytest.mark.skipif(not keeps_bits(), reason="torch was built without MKL")
@pytest.mark.parametrize("threads", [2, *(pytest.param(more, marks=pytest.mark.slow) for more in (3, 8))])
@pytest.mark.parametrize("options", [name for name in OPTIONS if name != "rates"])
@pytest.mark.parametrize("model", MODELS)
def test_threads_of_torch_in_products_change_no_bit(model, options, threads, local_work):
    sizes = (40,) * 12 + (23, 8, 61)
    cohort = list(range(len(sizes)))
    work, terms = _of_bytes(local_work, model, options, shape=(1, 28, 28), sizes=sizes, batch_size=10)
    alone, together = _stacked(work), _stacked(work, threads=threads)
    for part in (cohort, cohort[:5], cohort[-1:]):
        expected = alone(work.model.vector, part, 1, terms)
        updates = together(work.model.vector, part, 1, terms)
        assert torch.equal(updates.deltas, expected.deltas)
        assert torch.equal(updates.losses, expected.losses)
    assert torch.get_num_threads() == 1


def test_a_team_is_never_larger_than_its_parts_and_goes_home():
    for threads, parts, expected in ((4, 9, 4), (4, 2, 2), (4, 1, 1), (1, 9, 1)):
        with team(threads, parts):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 1
