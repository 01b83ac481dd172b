"""Differentially private steps inside clients: against loops over examples, Opacus, and what their noise must be."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from federated.foundation.randomness import NoiseSource
from federated.local_training.by_example.gradients import example_gradients
from federated.local_training.by_example.noise import shares_kept
from federated.local_training.by_example.poisson import poisson_batches
from federated.local_training.convolution import unfolding
from federated.local_training.convolution.by_example import PrivateNetwork
from federated.local_training.convolution.recognise import convolution_stack
from federated.local_training.engine import ENGINES
from federated.local_training.steps.batches import Length, batch_of
from federated.local_training.steps.dropout import DropoutGenerators
from federated.local_training.steps.work import LocalWork
from federated.privacy import PerExample
from tests.test_engine_contract import COHORT, LOCAL, LOSS, LOSS_KIND, MODELS, TERMS

OF_BATCHES = {name: options for name, options in LOCAL.items() if "max_gradient_norm" not in options}


def _work(make: Any, name: str, private: PerExample, *args: Any, **options: Any) -> LocalWork:
    module, shape = MODELS[name]
    return make(module(), *args, shape=shape, **options)._replace(per_example=private)


def _assert_alike(work: LocalWork, terms: str = "none", engine: str = "stacked") -> None:
    added = TERMS[terms](len(COHORT), work.model.num_trainable)
    updates, expected = (
        ENGINES[name](work, 1)(work.model.vector, COHORT, 2, added) for name in (engine, "loop")
    )
    largest = float(expected.deltas.abs().max())
    assert largest > 1e-4, "nothing was learnt"
    assert float((updates.deltas - expected.deltas).abs().max()) <= 1e-11 * largest
    assert torch.allclose(updates.losses, expected.losses, rtol=1e-5, atol=1e-6)
    assert torch.equal(updates.bounded, expected.bounded)
    assert updates.bounded[:, 0].sum() > 0


STACKS = [("stacked", "mlp"), ("im2col", "cnn")]


@pytest.mark.parametrize(("engine", "model"), STACKS)
@pytest.mark.parametrize("local", OF_BATCHES)
def test_stacks_do_what_the_loop_does(local, engine, model, local_work):
    options = {"batch_size": 4, "learning_rate": 0.05, **LOCAL[local]}
    _assert_alike(_work(local_work, model, PerExample(0.2, 0.7), **options), engine=engine)


@pytest.mark.parametrize(
    "cut", [(10_000, 32), (1, 32), (1, 1)], ids=["one product", "tiles", "rows of tiles"]
)
def test_convolutions_take_batches_of_any_size_in_pieces(cut, local_work, monkeypatch):
    """Poisson batches are larger than their mean, of which the buffers are; the masks of dropout are of whole ones."""
    for name, value in zip(("_LEAST_WIDTH", "_LEAST_OUTPUTS"), cut, strict=True):
        monkeypatch.setattr(unfolding, name, value)
    work = _work(local_work, "cnn", PerExample(0.2, 0.0), batch_size=3, epochs=3)
    largest = max(
        len(batch) for client in COHORT for batch in poisson_batches(work, 2, client, Length(3, None))
    )
    assert largest > 2 * 3
    _assert_alike(work, engine="im2col")


@pytest.mark.parametrize(("engine", "model"), STACKS)
@pytest.mark.parametrize("terms", TERMS)
def test_with_every_term_of_an_algorithm(terms, engine, model, local_work):
    options = {"batch_size": 4, "learning_rate": 0.05, **LOCAL["epochs"]}
    _assert_alike(_work(local_work, model, PerExample(0.1, 0.3), **options), terms, engine)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", [name for name in LOSS if "stacked" in LOSS[name][1]])
def test_with_every_loss(name, weighted, local_work):
    loss = LOSS_KIND.bind(name).build()
    options = {"loss": loss, "weighted": weighted, "batch_size": 4, "epochs": 2}
    for engine, model in STACKS:
        _assert_alike(_work(local_work, model, PerExample(0.3, 0.0), LOSS[name][0], **options), engine=engine)


def test_the_other_engine_says_that_it_cannot(local_work):
    with pytest.raises(ValueError, match="Poisson batches differ in size"):
        ENGINES["vmap"](_work(local_work, "cnn", PerExample(1.0, 1.0), batch_size=4), 1)


def _by_hand(work: LocalWork, client: int, done: int) -> tuple[torch.Tensor, list[int]]:
    """(the move of a client by plain SGD, each example through the model by itself, without dropout and noise;

    how many gradients were longer than the bound, of how many).
    """
    counts = [0, 0]
    module, most = copy.deepcopy(work.model.module), work.per_example.norm
    optimiser = torch.optim.SGD(
        [p for p in module.parameters() if p.requires_grad],
        work.local.learning_rate,
        work.local.momentum,
        weight_decay=work.local.weight_decay,
    )
    trained = [p for p in module.parameters() if p.requires_grad]
    size = min(work.local.batch_size, len(work.clients[client]))
    length = Length(work.local.passes, work.local.steps)
    for batch in poisson_batches(work, done, client, length):
        sums = [torch.zeros_like(p) for p in trained]
        for example in batch:
            loss = nn.functional.cross_entropy(module(work.inputs[[example]]), work.targets[[example]])
            found = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
            counts[1] += 1
            norm = float(torch.cat([part.flatten() for part in found]).norm())
            for total, part in zip(sums, found, strict=True):
                total += part * min(1.0, most / norm)
            counts[0] += norm > most
        for parameter, total in zip(trained, sums, strict=True):
            parameter.grad = total / size
        optimiser.step()
    return torch.cat([p.detach().flatten() for p in trained]) - work.model.vector, counts


@pytest.mark.parametrize(
    ("name", "norm"),
    [("normalised", 0.4), ("tied", 0.4), ("aliased", 0.4), ("mine", 1.0), ("mine", float("inf"))],
)
def test_the_loop_takes_the_steps_of_a_loop_over_examples(name, norm, local_work):
    """With an infinite norm they are those of SGD on the same batches."""
    module, shape = MODELS.get(
        name, (lambda: nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 3)), (4,))
    )
    layers = module()
    for part in layers.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    options = {"batch_size": 4, "epochs": 3, "momentum": 0.5, "weight_decay": 0.1}
    work = local_work(layers, shape=shape, **options)._replace(per_example=PerExample(norm, 0.0))
    updates = ENGINES["loop"](work, 1)(work.model.vector, COHORT, 2)
    for row, client in enumerate(COHORT):
        moved, counts = _by_hand(work, client, 2)
        assert torch.allclose(updates.deltas[row], moved, rtol=0, atol=1e-12)
        assert updates.bounded[row].tolist() == counts
    longer, every = updates.bounded.sum(dim=0).tolist()
    assert (name, norm) != ("mine", 1.0) or 0 < longer < every


@pytest.mark.parametrize(("engine", "model"), [("loop", "mlp"), *STACKS])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_an_example_whose_gradient_is_not_finite_counts_as_zeros(value, engine, model, local_work):
    work = _work(local_work, model, PerExample(0.2, 0.7), weighted=True, batch_size=4)
    one = int(work.clients[5][3])
    work.weights[one] = 0.0  # which has a gradient of zeros
    expected = ENGINES[engine](work, 1)(work.model.vector, COHORT, 2)
    work.inputs[one], work.weights[one] = value, 1.0
    found = ENGINES[engine](work, 1)(work.model.vector, COHORT, 2)
    assert torch.equal(found.deltas, expected.deltas)


def test_every_example_is_in_a_batch_on_its_own_with_the_same_probability(local_work):
    work = _work(local_work, "mlp", PerExample(1.0, 1.0), sizes=(20,), batch_size=5)
    drawn = np.zeros((8_000, 20), bool)
    for row, batch in enumerate(poisson_batches(work, 0, 0, Length(1, len(drawn)))):
        drawn[row, np.searchsorted(np.sort(work.clients[0]), batch)] = True
        assert len(set(batch)) == len(batch)
    assert stats.binomtest(int(drawn.sum()), drawn.size, 0.25).pvalue > 1e-4
    sizes = np.bincount(drawn.sum(axis=1), minlength=21)[:12]
    law = stats.binom.pmf(np.arange(12), 20, 0.25)
    assert stats.chisquare(sizes, law / law.sum() * sizes.sum()).pvalue > 1e-4
    pairs = (drawn[:, 0] & drawn[:, 1]).sum()
    assert stats.binomtest(int(pairs), len(drawn), 0.25**2).pvalue > 1e-4


def test_a_batch_may_be_empty_and_one_of_all_is_whole(local_work):
    small = _work(local_work, "mlp", PerExample(1.0, 1.0), sizes=(30,), batch_size=1)
    sizes = [len(batch) for batch in poisson_batches(small, 0, 0, Length(2, None))]
    assert len(sizes) == 60
    assert 0 in sizes
    whole = _work(local_work, "mlp", PerExample(1.0, 1.0), sizes=(30,), batch_size=40)
    assert [sorted(b) for b in poisson_batches(whole, 0, 0, Length(2, None))] == [
        sorted(whole.clients[0])
    ] * 2


@pytest.mark.parametrize("engine", ["loop", "stacked"])
def test_noise_has_the_stated_scale_also_in_steps_without_examples(engine, local_work):
    """The losses are multiplied by zero, so that a client's move is the noise of its one step alone."""
    layers = nn.Sequential(nn.Linear(4, 900), nn.ReLU(), nn.Linear(900, 3))
    sizes = (12, 1, 40)
    work = local_work(layers, sizes=sizes, batch_size=1, steps=1, learning_rate=0.5)
    work = work._replace(
        per_example=PerExample(0.3, 2.0), weights=torch.zeros(sum(sizes), dtype=torch.float64)
    )
    trained = ENGINES[engine](work, 1)
    moves = torch.cat([trained(work.model.vector, [0, 1, 2], done).deltas for done in range(4)])
    assert any(not len(batch) for done in range(4) for batch in poisson_batches(work, done, 0, Length(1, 1)))
    drawn = (moves / (0.5 * 2.0 * 0.3)).numpy()
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(drawn) - np.eye(12)).max() < 5 / drawn.shape[1] ** 0.5


def test_steps_of_larger_batches_divide_the_noise(local_work):
    layers = nn.Sequential(nn.Linear(4, 900), nn.ReLU(), nn.Linear(900, 3))
    work = local_work(layers, sizes=(50, 30), batch_size=40, steps=3, learning_rate=1.0)
    work = work._replace(per_example=PerExample(2.0, 1.5), weights=torch.zeros(80, dtype=torch.float64))
    moves = ENGINES["stacked"](work, 1)(work.model.vector, [0, 1], 0).deltas
    found = (moves.std(dim=1) / (2.0 * 1.5 * 3**0.5)).tolist()
    assert found == pytest.approx([1 / 40, 1 / 30], rel=5 / (2 * moves.shape[1]) ** 0.5)


@pytest.mark.parametrize("name", ["mlp", "normalised"])
def test_a_client_is_the_same_to_the_bit_beside_others_in_any_order_and_on_any_thread(name, local_work):
    work = _work(local_work, name, PerExample(0.2, 0.7), batch_size=4, epochs=2)
    together = ENGINES["loop"](work, 1)(work.model.vector, COHORT, 2)
    reordered = ENGINES["loop"](work, 2)(work.model.vector, COHORT[::-1], 2)
    assert torch.equal(together.deltas, reordered.deltas.flip(0))
    alone = ENGINES["loop"](work, 1)(work.model.vector, COHORT[1:2], 2)
    assert torch.equal(together.deltas[1], alone.deltas[0])
    assert not torch.equal(together.deltas, ENGINES["loop"](work, 1)(work.model.vector, COHORT, 3).deltas)


@pytest.mark.parametrize(("engine", "model"), STACKS)
def test_stacks_do_not_depend_on_threads_and_order(engine, model, local_work):
    work = _work(local_work, model, PerExample(0.2, 0.7), batch_size=4, epochs=2)
    together = ENGINES[engine](work, 1)(work.model.vector, COHORT, 2)
    reordered = ENGINES[engine](work, 2)(work.model.vector, COHORT[::-1], 2)
    assert torch.equal(together.deltas, reordered.deltas.flip(0))


def test_a_model_that_draws_other_random_numbers_is_repeatable(local_work):
    layers = nn.Sequential(nn.Linear(4, 8), nn.AlphaDropout(0.4), nn.Linear(8, 3))
    work = local_work(layers, batch_size=4)._replace(per_example=PerExample(0.2, 0.1))
    first, again = (ENGINES["loop"](work, 1)(work.model.vector, COHORT, 1).deltas for _ in range(2))
    assert torch.equal(first, again)


OPACUS = {
    "dense": (lambda: nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)), (4,)),
    "convolutional": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3)),
        (1, 8, 8),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPACUS)
def test_the_sum_of_bounded_gradients_is_that_of_opacus(name, local_work):
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    make, shape = OPACUS[name]
    work = local_work(make(), shape=shape, sizes=(23,))._replace(per_example=PerExample(0.5, 0.0))
    batch = batch_of(work, work.clients[0])
    total = torch.zeros_like(work.model.vector)
    norms = []
    for rows, _ in example_gradients(work, work.model)(batch, None, DropoutGenerators(0, 0, 0)):
        norms.append(rows.norm(dim=1))
        total += shares_kept(work.per_example, norms[-1]) @ rows
    module = GradSampleModule(copy.deepcopy(work.model.module), loss_reduction="mean")
    inner = torch.optim.SGD(module.parameters(), 0.1)
    optimiser = DPOptimizer(inner, noise_multiplier=0.0, max_grad_norm=0.5, expected_batch_size=10)
    nn.functional.cross_entropy(module(batch.inputs), batch.targets).backward()
    optimiser.clip_and_accumulate()
    theirs = torch.cat([p.summed_grad.flatten() for p in module.parameters()])
    assert (torch.cat(norms) > 0.5).any()
    assert float((total - theirs).norm() / theirs.norm()) < 2e-6  # Opacus adds 1e-6 to each norm
    if name == "convolutional":
        network = PrivateNetwork(work, convolution_stack(work))
        network.parameters.weights[:-1].copy_(work.model.vector)
        with torch.no_grad():
            unfolded = network.clipped_sum(batch, DropoutGenerators(0, 0, 0), None, None)
        assert float((unfolded.total - theirs).norm() / theirs.norm()) < 2e-6
        assert unfolded.bounded.tolist() == [int((torch.cat(norms) > 0.5).sum()), 23]
    optimiser.add_noise()
    optimiser.scale_grad()
    step = torch.cat([p.grad.flatten() for p in module.parameters()])
    assert torch.allclose(step, total / 10, rtol=0, atol=1e-6)


def test_noise_and_batches_are_functions_of_seed_round_and_client(local_work):
    work = _work(local_work, "mlp", PerExample(1.0, 1.0), batch_size=4)
    drawn = {
        tuple(NoiseSource(seed).of_clients(done, [client], stream)[0].standard_normal(3))
        for seed in (0, 1)
        for done in (0, 1)
        for client in (0, 1)
        for stream in (0, 1)
    }
    assert len(drawn) == 16
    other = work._replace(seed=4)
    first = [list(batch) for batch in poisson_batches(work, 0, 2, Length(3, None))]
    assert first != [list(batch) for batch in poisson_batches(other, 0, 2, Length(3, None))]
    assert first == [list(batch) for batch in poisson_batches(work, 0, 2, Length(3, None))]


def test_a_secure_source_is_another_one_each_time(local_work):
    work = _work(local_work, "mlp", PerExample(0.2, 0.7, secure=True), batch_size=4)
    first, again = (ENGINES["stacked"](work, 1)(work.model.vector, COHORT, 2).deltas for _ in range(2))
    assert not torch.equal(first, again)
    batches = [[list(batch) for batch in poisson_batches(work, 0, 5, Length(3, None))] for _ in range(2)]
    assert batches[0] != batches[1]
