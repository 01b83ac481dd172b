"""Sums of low-rank products against whole matrices, and the rules for adapters against a case worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.aggregators import AGGREGATORS
from federated.aggregators.lora.factors import Factors, decomposed, norm, shortened, weighted
from federated.aggregators.lora.layer import Layer, Made

ROWS, RANK, COLUMNS, CLIENTS = 7, 2, 5, 4
WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_round(clients: int = CLIENTS, ranks: list[int] | None = None) -> tuple[Layer, Tensor]:
    """(a layer of B [7, 2] and A [2, 5], the weighted mean of its clients' products, by a loop over whole matrices)."""
    a, b = random(RANK, COLUMNS, seed=1), random(ROWS, RANK, seed=2)
    own_a, own_b = random(clients, RANK, COLUMNS, seed=3), random(clients, ROWS, RANK, seed=4)
    for client, rank in enumerate(ranks or []):
        own_a[client, rank:], own_b[client, :, rank:] = 0, 0
    weights = WEIGHTS[:clients] / WEIGHTS[:clients].sum()
    moved_a, moved_b = own_a - a, own_b - b
    mean = [sum(w * moved[at] for at, w in enumerate(weights)) for moved in (moved_a, moved_b)]
    exact = sum(w * own_b[at] @ own_a[at] for at, w in enumerate(weights))
    return Layer(a, b, mean[0], mean[1], weighted(weights, moved_b, moved_a)), exact


def made_by(name: str, layer: Layer) -> Made:
    rule = AGGREGATORS[name]().of_products
    assert rule is not None
    return rule(layer, np.random.default_rng(0))


def test_the_mean_of_products_by_hand() -> None:
    """Two clients, rank 1, W [2, 3]: B1 A1 = (1, 0)(1, 1, 0), B2 A2 = (0, 2)(0, 1, 1), weights 1/4 and 3/4.

    Mean: [[.25, .25, 0], [0, 1.5, 1.5]]. Mean factors: B (.25, 1.5), A (.25, 1, .75), whose product is [[.0625, .25,
    .1875], [.375, 1.5, 1.125]]. So the error is [[.1875, 0, -.1875], [-.375, 0, .375]], of norm sqrt(.3515625), and the
    mean's norm sqrt(4.625).
    """
    zero_a, zero_b = torch.zeros(1, 3).double(), torch.zeros(2, 1).double()
    lefts = torch.tensor([[[1.0], [0.0]], [[0.0], [2.0]]])
    rights = torch.tensor([[[1.0, 1.0, 0.0]], [[0.0, 1.0, 1.0]]])
    mean_b, mean_a = torch.tensor([[0.25], [1.5]]).double(), torch.tensor([[0.25, 1.0, 0.75]]).double()
    layer = Layer(zero_a, zero_b, mean_a, mean_b, weighted(np.array([0.25, 0.75]), lefts, rights))
    assert layer.exact.matrix.tolist() == [[0.25, 0.25, 0.0], [0.0, 1.5, 1.5]]
    assert layer.error.matrix.tolist() == [[0.1875, 0.0, -0.1875], [-0.375, 0.0, 0.375]]
    assert norm(layer.error) == pytest.approx(0.3515625**0.5, abs=1e-14)
    assert norm(layer.exact) == pytest.approx(4.625**0.5, abs=1e-14)


@pytest.mark.parametrize("ranks", [None, [1, 2, 1, 2]])
@pytest.mark.parametrize("name", ["lora_residual", "lora_stack"])
def test_exact_rules_make_the_mean_of_the_products(name: str, ranks: list[int] | None) -> None:
    layer, exact = a_round(ranks=ranks)
    made = made_by(name, layer)
    assert made.beside is not None
    assert (made.b.shape, made.a.shape) == ((ROWS, RANK), (RANK, COLUMNS))
    assert torch.allclose(made.b @ made.a + made.beside.matrix, exact, rtol=0, atol=1e-12)
    assert torch.allclose(layer.exact.matrix, exact, rtol=0, atol=1e-12)


def test_the_residual_is_as_thin_as_the_clients_can_make_it_and_of_one_client_nothing() -> None:
    layer, _ = a_round(clients=2)
    made = made_by("lora_residual", layer)
    assert made.beside is not None
    assert made.beside.left.shape == (ROWS, RANK)
    alone = made_by("lora_residual", a_round(clients=1)[0])
    assert alone.beside is not None
    assert alone.beside.left.shape == (ROWS, 0)


def test_the_cut_is_the_nearest_matrix_of_the_rank_and_says_what_is_lost() -> None:
    layer, exact = a_round()
    made = made_by("lora_svd", layer)
    left, values, right = torch.linalg.svd(exact)
    nearest = left[:, :RANK] @ torch.diag(values[:RANK]) @ right[:RANK]
    assert torch.allclose(made.b @ made.a, nearest, rtol=0, atol=1e-12)
    assert made.discarded == pytest.approx(float(values[RANK:].square().sum()), abs=1e-12)
    assert made.kept == pytest.approx(float(values[:RANK].square().sum()), abs=1e-12)
    assert torch.allclose(
        made.b.square().sum(0), made.a.square().sum(1)
    )  # both factors have the singular values


def test_a_direction_that_nobody_used_can_still_be_trained_after_a_cut() -> None:
    a, b = random(RANK, COLUMNS), torch.zeros(ROWS, RANK).double()
    still = Layer(a, b, torch.zeros_like(a), torch.zeros_like(b), Factors(b[:, :0], a[:0]))
    made = made_by("lora_svd", still)
    assert torch.equal(made.a, a)
    assert not made.b.any()
    assert made.discarded == 0


@pytest.mark.parametrize("between", [3, 11])
@pytest.mark.parametrize(("rows", "columns"), [(4, 9), (9, 4)])
def test_factors_are_the_matrix(rows: int, between: int, columns: int) -> None:
    factors = Factors(random(rows, between), random(between, columns, seed=1))
    whole = factors.left @ factors.right
    found = decomposed(factors)
    assert norm(factors) == pytest.approx(float(whole.norm()), rel=1e-13)
    assert torch.allclose(found.left @ torch.diag(found.values) @ found.right, whole)
    short = shortened(factors)
    assert short.left.shape[1] <= max(min(rows, columns), min(between, min(rows, columns)))
    assert torch.allclose(short.matrix, whole)


def test_equal_factors_on_one_side_leave_no_error() -> None:
    """FFA-LoRA: where nobody moves A, the product of the means is the mean of the products."""
    a, moved_b = random(RANK, COLUMNS), random(CLIENTS, ROWS, RANK, seed=1)
    b, still = torch.zeros(ROWS, RANK).double(), torch.zeros(CLIENTS, RANK, COLUMNS)
    mean_b = torch.einsum("c,cdr->dr", torch.from_numpy(WEIGHTS), moved_b)
    layer = Layer(a, b, torch.zeros_like(a), mean_b, weighted(WEIGHTS, moved_b, still))
    assert norm(layer.error) == 0
