"""The one-client loop against torch.optim, and what every engine promises."""

import numpy as np
import pytest
import torch
from torch import nn

from federated.algorithms.schedules import SCHEDULES
from federated.config.run import LocalTraining
from federated.foundation.randomness import Purpose, generator
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.batches import epoch_orders
from federated.losses import usual_loss
from federated.metrics.tasks import TASKS
from federated.models import MODELS
from federated.models.flat_model import FlatModel

SEED = 3


def _federation(seed=0, sizes=(7, 12, 5), inputs=4, classes=3, dtype=torch.float32):
    numbers = np.random.default_rng(seed)
    total = sum(sizes)
    x = torch.from_numpy(numbers.standard_normal((total, inputs))).to(dtype)
    y = torch.from_numpy(numbers.integers(classes, size=total))
    clients = np.split(numbers.permutation(total), np.cumsum(sizes)[:-1])
    return x, y, clients


def _trainer(model, x, y, clients, rounds=10, **local):
    return loop_trainer(
        model, usual_loss(TASKS["classification"]), x, y, clients, LocalTraining(**local), rounds, SEED
    )


def _by_torch_optim(module, x, y, held, local, rate, done, client):
    """The oracle: torch.optim.SGD and a plain loop over the same batches."""
    optimiser = torch.optim.SGD(
        module.parameters(), lr=rate, momentum=local.momentum, weight_decay=local.weight_decay
    )
    numbers = generator(SEED, Purpose.BATCHES, done, client)
    size = local.batch_size or len(held)
    for order in epoch_orders(numbers, held, local.batch_size, local.epochs, local.steps):
        for start in range(0, len(order), size):
            batch = torch.from_numpy(order[start : start + size])
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimiser.step()
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


LOCAL = [
    {"epochs": 1, "batch_size": 5, "learning_rate": 0.1},
    {"epochs": 3, "batch_size": 4, "learning_rate": 0.05, "momentum": 0.9},
    {"epochs": 2, "batch_size": None, "learning_rate": 0.2, "weight_decay": 0.01},
    {"steps": 7, "batch_size": 3, "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1},
    {"steps": 1, "batch_size": 100, "learning_rate": 0.1},
]


@pytest.mark.parametrize("local", LOCAL)
@pytest.mark.parametrize("client", [0, 1, 2])
def test_loop_takes_the_steps_of_torch_sgd(local, client):
    x, y, clients = _federation(dtype=torch.float64)
    torch.manual_seed(0)
    module = MODELS["mlp"](hidden=(6,))((4,), 3).double()
    model = FlatModel(module)
    start = model.vector.clone()
    updates = _trainer(model, x, y, clients, **local)(start, [client], 2)
    config = LocalTraining(**local)
    expected = _by_torch_optim(module, x, y, clients[client], config, config.learning_rate, 2, client)
    assert torch.allclose(start + updates.deltas[0], expected, rtol=0, atol=1e-14)
    assert not torch.equal(expected, start)


def test_one_full_batch_step_is_one_step_of_gradient_descent():
    x, y, clients = _federation(dtype=torch.float64)
    module = MODELS["logistic"]()((4,), 3).double()
    model = FlatModel(module)
    start = torch.randn(15, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    updates = _trainer(model, x, y, clients, batch_size=None, learning_rate=0.3)(start, [1], 0)
    held = torch.from_numpy(clients[1])
    weight, bias = start[:12].view(3, 4), start[12:]
    scores = torch.softmax(x[held] @ weight.T + bias, dim=1)  # the gradient of softmax regression, by hand
    errors = (scores - nn.functional.one_hot(y[held], 3)) / len(held)
    gradient = torch.cat([(errors.T @ x[held]).reshape(-1), errors.sum(dim=0)])
    assert torch.allclose(updates.deltas[0], -0.3 * gradient, rtol=0, atol=1e-14)


def test_result_of_a_client_does_not_depend_on_the_others_or_their_order():
    x, y, clients = _federation()
    model = FlatModel(MODELS["mlp"](hidden=(6,))((4,), 3))
    start = model.vector.clone()
    train = _trainer(model, x, y, clients, batch_size=4, momentum=0.9)
    together, reverse, alone = train(start, [0, 1, 2], 5), train(start, [2, 1, 0], 5), train(start, [1], 5)
    assert torch.equal(together.deltas, reverse.deltas.flip(0))
    assert torch.equal(together.deltas[1], alone.deltas[0])
    assert together.num_examples.tolist() == [7, 12, 5]
    assert reverse.client_ids.tolist() == [2, 1, 0]


def test_received_parameters_are_not_changed_and_the_round_matters():
    x, y, clients = _federation()
    model = FlatModel(MODELS["mlp"](hidden=(6,))((4,), 3))
    start = model.vector.clone()
    train = _trainer(model, x, y, clients, batch_size=4)
    kept = start.clone()
    first, again, later = (train(start, [0], done).deltas for done in (0, 0, 1))
    assert torch.equal(start, kept)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_dropout_is_a_function_of_seed_round_and_client():
    x, y, clients = _federation()
    model = FlatModel(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)))
    start = model.vector.clone()
    train = _trainer(model, x, y, clients, batch_size=None)
    torch.manual_seed(1)
    first = train(start, [0, 1], 0).deltas
    torch.manual_seed(2)  # what others do with torch's global generator does not matter
    assert torch.equal(first, train(start, [0, 1], 0).deltas)
    assert torch.equal(first[1], train(start, [1], 0).deltas[0])


def test_batch_normalisation_statistics_travel():
    x, y, clients = _federation()
    model = FlatModel(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)))
    start = model.vector.clone()
    updates = _trainer(model, x, y, clients, batch_size=None)(start, [1], 0)
    moved = updates.deltas[0, model.num_trainable :]  # running mean, then running variance
    assert torch.allclose(moved[:4], 0.1 * x[clients[1]].mean(dim=0), atol=1e-6)


def test_loss_is_the_mean_over_the_examples_trained_on():
    x, y, clients = _federation(dtype=torch.float64)
    model = FlatModel(MODELS["logistic"]()((4,), 3).double())
    updates = _trainer(model, x, y, clients, batch_size=None)(model.vector.clone(), [0], 0)
    assert float(updates.losses[0]) == pytest.approx(np.log(3))  # zero weights: all classes alike


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ((10, 4, 1, None), [10]),
        ((10, 4, 3, None), [10, 10, 10]),
        ((10, 4, 1, 2), [8]),
        ((10, 4, 1, 3), [10]),
        ((10, 4, 1, 7), [10, 10, 4]),
        ((10, None, 2, None), [10, 10]),
        ((3, 50, 1, 2), [3, 3]),
        ((1, 1, 1, 5), [1, 1, 1, 1, 1]),
    ],
)
def test_epochs_and_steps_cover_what_they_should(arguments, sizes):
    num_examples, *rest = arguments
    held = 7 * np.arange(num_examples) + 3
    orders = list(epoch_orders(np.random.default_rng(0), held, *rest))
    assert [len(order) for order in orders] == sizes
    for order in orders:
        assert set(order.tolist()) <= set(held.tolist())
        assert len(set(order.tolist())) == len(order)


TORCH_SCHEDULERS = {
    "constant": (SCHEDULES["constant"](), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": (
        SCHEDULES["step"](every=3, factor=0.5),
        lambda o: torch.optim.lr_scheduler.StepLR(o, 3, gamma=0.5),
    ),
    "exponential": (
        SCHEDULES["exponential"](factor=0.9),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    ),
    "cosine": (
        SCHEDULES["cosine"](final=0.1),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=10, eta_min=0.1),
    ),
}


def test_every_schedule_has_an_oracle():
    assert set(TORCH_SCHEDULERS) == set(SCHEDULES)


@pytest.mark.parametrize("name", TORCH_SCHEDULERS)
def test_schedule_agrees_with_torch(name):
    ours, theirs = TORCH_SCHEDULERS[name]
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(optimiser)
    for done in range(10):
        assert ours(done, 10) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("step", {"every": 0}),
        ("step", {"every": 2, "factor": 0.0}),
        ("exponential", {"factor": 1.5}),
        ("cosine", {"final": -0.1}),
    ],
)
def test_bad_schedule_names_its_argument(name, arguments):
    with pytest.raises(ValueError, match=list(arguments)[-1]):
        SCHEDULES[name](**arguments)


def test_schedule_scales_the_step():
    x, y, clients = _federation(dtype=torch.float64)
    model = FlatModel(MODELS["logistic"]()((4,), 3).double())
    start = model.vector.clone()
    plain = _trainer(model, x, y, clients, batch_size=None)(start, [0], 3).deltas
    decayed = _trainer(model, x, y, clients, batch_size=None, schedule="exponential(0.5)")(
        start, [0], 3
    ).deltas
    assert torch.allclose(decayed, plain / 8, rtol=1e-12)
