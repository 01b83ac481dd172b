"""What algorithms and options add to a local step, against torch.optim and autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from federated.algorithms import ALGORITHMS
from federated.algorithms.local_terms import LocalTerms
from federated.config.run import Engine
from federated.foundation.randomness import Purpose, generator
from federated.local_training.engine import local_trainer
from federated.local_training.steps.batches import epoch_orders
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.vmapped import vmapped_trainer

COHORT = [3, 5, 0, 1, 2, 4]
DONE = 2
LOCAL = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1}

ENGINES = {
    "loop": lambda work: local_trainer(work, Engine(name="loop"), COHORT),
    "stack": lambda work: local_trainer(work, Engine(name="vectorised"), COHORT),
    "vmap": lambda work: side_by_side(work, lambda: vmapped_trainer(work), 2, 2),
}


def _mlp():
    return nn.Sequential(nn.Linear(4, 70), nn.ReLU(), nn.Linear(70, 3))


def _numbers(*shape):
    return torch.from_numpy(np.random.default_rng(7).standard_normal(shape)) / 4


def _by_torch(work, client, mu=0.0, correction=None, factor=1.0, steps=None):
    """The oracle: torch.optim.SGD and autograd, with the terms written into the loss.

    The bound on the norm is on the gradient of the data's loss alone, so that the terms' is added after it.
    """
    local, held, module = work.local, work.clients[client], work.model.independent_module().train()
    parameters = list(module.parameters())
    received = [p.detach().clone() for p in parameters]
    rate = local.learning_rate * factor
    optimiser = torch.optim.SGD(parameters, rate, local.momentum, weight_decay=local.weight_decay)
    orders = epoch_orders(
        generator(work.seed, Purpose.BATCHES, DONE, client), held, local.batch_size, local.epochs, steps
    )
    for order in orders:
        for at in np.split(order, range(local.batch_size, len(order), local.batch_size)):
            batch = torch.from_numpy(at)
            optimiser.zero_grad()
            work.loss(module(work.inputs[batch]), work.targets[batch]).backward()
            if local.max_gradient_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, local.max_gradient_norm)
            term = sum(mu / 2 * (p - r).square().sum() for p, r in zip(parameters, received, strict=True))
            if correction is not None:
                term = term + nn.utils.parameters_to_vector(parameters) @ correction
            if mu or correction is not None:
                term.backward()
            optimiser.step()
    return nn.utils.parameters_to_vector(parameters).detach() - work.model.vector


def _assert_close(updates, expected):
    assert float((updates.deltas - torch.stack(expected)).abs().max()) < 1e-12
    assert float(torch.stack(expected).abs().max(dim=1).values.min()) > 1e-4  # something was learnt


OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "weight decay": {"weight_decay": 0.1},
    "clipped": {"max_gradient_norm": 0.3},
    "all": {"momentum": 0.5, "weight_decay": 0.1, "max_gradient_norm": 0.3},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_terms_are_what_autograd_makes_of_them(engine, options, local_work):
    work = local_work(_mlp(), **LOCAL, **OPTIONS[options])
    correction = _numbers(len(COHORT), work.model.num_trainable)
    factors = np.array([1.0, 0.5, 2.0, 0.1, 1.5, 3.0])
    terms = LocalTerms(0.3, correction, factors)
    updates = ENGINES[engine](work)(work.model.vector, COHORT, DONE, terms)
    _assert_close(
        updates,
        [_by_torch(work, c, 0.3, own, f) for c, own, f in zip(COHORT, correction, factors, strict=True)],
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "terms",
    [
        {"proximal": 0.7},
        {"correction": "shared"},
        {"correction": "own"},
        {"proximal": 0.2, "correction": "shared"},
        {"rate_factors": np.array([1.0, 0.5, 2.0, 0.1, 1.5, 3.0])},
        {"steps": np.array([1, 9, 4, 2, 9, 3])},
    ],
    ids=lambda terms: " ".join(f"{k}" if not isinstance(v, str) else f"{v} {k}" for k, v in terms.items()),
)
def test_each_term_alone(engine, terms, local_work):
    work = local_work(_mlp(), **LOCAL, momentum=0.9)
    shape = {"shared": (1,), "own": (len(COHORT),)}.get(terms.get("correction"))
    correction = None if shape is None else _numbers(*shape, work.model.num_trainable).squeeze(0)
    given = LocalTerms(**{**terms, "correction": correction})
    updates = ENGINES[engine](work)(work.model.vector, COHORT, DONE, given)
    expected = [
        _by_torch(
            work,
            client,
            given.proximal,
            correction[row] if terms.get("correction") == "own" else correction,
            1.0 if given.rate_factors is None else given.rate_factors[row],
            None if given.steps is None else int(given.steps[row]),
        )
        for row, client in enumerate(COHORT)
    ]
    _assert_close(updates, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bound_that_no_gradient_reaches_changes_nothing_but_rounding(engine, local_work):
    free, bounded = (local_work(_mlp(), **LOCAL, max_gradient_norm=bound) for bound in (None, 1e6))
    deltas = [ENGINES[engine](work)(work.model.vector, COHORT, DONE).deltas for work in (free, bounded)]
    assert torch.allclose(*deltas, rtol=0, atol=1e-13)


def test_one_clipped_step_is_as_long_as_its_bound(local_work):
    work = local_work("logistic", batch_size=None, learning_rate=0.5, max_gradient_norm=1e-3)
    lengths = torch.linalg.vector_norm(ENGINES["stack"](work)(work.model.vector, COHORT, 0).deltas, dim=1)
    assert torch.allclose(lengths, torch.full_like(lengths, 0.5e-3), rtol=2e-3)  # 1e-6 is added to the norm


@pytest.mark.parametrize("engine", ENGINES)
def test_fedprox_minimises_the_loss_and_the_distance_to_what_was_received(engine, local_work):
    work = local_work("mlp", **LOCAL)
    terms = ALGORITHMS["fedprox"](mu=0.5).terms({}, COHORT, {})
    updates = ENGINES[engine](work)(work.model.vector, COHORT, DONE, terms)
    _assert_close(updates, [_by_torch(work, client, mu=0.5) for client in COHORT])


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=pytest.mark.nightly if name == "vmap" else ()) for name in ENGINES]
)
def test_a_strong_proximal_term_holds_clients_near_what_they_received(engine, local_work):
    work = local_work(_mlp(), steps=200, batch_size=None, learning_rate=0.05)
    train = ENGINES[engine](work)
    free, held = (
        torch.linalg.vector_norm(train(work.model.vector, COHORT, 0, LocalTerms(mu)).deltas, dim=1)
        for mu in (0.0, 10.0)
    )
    assert (held < free / 3).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_terms_belong_to_clients_and_not_to_their_order(engine, local_work):
    work = local_work(_mlp(), dtype=torch.float32, **LOCAL)
    correction = _numbers(len(COHORT), work.model.num_trainable).float()
    terms = LocalTerms(0.1, correction, np.linspace(0.5, 2, len(COHORT)), np.arange(1, len(COHORT) + 1))
    train, reverse = ENGINES[engine](work), range(len(COHORT))[::-1]
    first = train(work.model.vector, COHORT, 1, terms)
    again = train(work.model.vector, COHORT[::-1], 1, terms.of(reverse))
    assert torch.equal(first.deltas, again.deltas.flip(0))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"proximal": -1.0}, "proximal must be a finite number >= 0"),
        ({"proximal": float("nan")}, "proximal must be a finite number >= 0"),
        ({"rate_factors": np.array([1.0, 0.0])}, "rate_factors must be finite numbers > 0"),
        ({"steps": np.array([3, 0])}, "steps must be at least 1"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        LocalTerms(**terms)
