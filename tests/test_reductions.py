"""Which numbers travel: random and block choices, thresholds, thin factors, sketches."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch

from federated.compressors import PayloadError
from tests.conftest import codec, deltas, generators, normal, sent


def lost(decoded: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    return (decoded - updates).double().square().sum(dim=1) / updates.double().square().sum(dim=1)


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.5])
def test_random_k_loses_what_is_published(fraction: float) -> None:
    """E||Q(x) - x||^2 / ||x||^2 is 1 - k/P, or P/k - 1 without bias (Stich et al. 2018, lemma A.1)."""
    draws, update = 3000, deltas(1, 100, seed=2)
    updates = update.expand(draws, -1).contiguous()
    for unbiased, expected in (("false", 1 - fraction), ("true", 1 / fraction - 1)):
        share = lost(sent(codec(f"random_k({fraction}, unbiased={unbiased})"), updates), updates)
        assert abs(float(share.mean()) - expected) <= 5 * float(share.std()) / math.sqrt(draws) + 1e-6


def test_random_k_draws_every_coordinate_equally_often() -> None:
    draws = 5000
    decoded = sent(codec("random_k(0.2, unbiased=false)"), torch.ones(draws, 10))
    assert torch.all(decoded.sum(dim=1) == 2)
    assert torch.all((decoded.mean(dim=0) - 0.2).abs() <= 5 * math.sqrt(0.16 / draws))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("size", [64, 100, 129])
def test_block_top_k_keeps_the_blocks_of_largest_norm(fraction: float, size: int) -> None:
    updates = normal(3, size)
    decoded = sent(codec(f"block_top_k({fraction}, block_size=8)"), updates)
    for row, found in zip(updates, decoded, strict=True):
        blocks = list(row.split(8))
        best = sorted(range(len(blocks)), key=lambda at: -float(blocks[at].norm()))
        kept = set(best[: math.ceil(fraction * len(blocks))])
        expected = [block if at in kept else torch.zeros_like(block) for at, block in enumerate(blocks)]
        assert torch.equal(found, torch.cat(expected))


def test_block_top_k_contracts_as_top_k_does() -> None:
    updates = deltas(10, 640)
    assert torch.all(lost(sent(codec("block_top_k(0.1, block_size=64)"), updates), updates) <= 1 - 0.1)


def test_threshold_keeps_exactly_what_is_large_enough() -> None:
    updates = torch.tensor([[0.5, -0.5, 0.49, 0.0, 3.0], [0.1, 0.1, 0.1, 0.1, 0.1]])
    decoded = sent(codec("threshold(0.5)"), updates)
    assert decoded.tolist() == [[0.5, -0.5, 0, 0, 3.0], [0] * 5]


def test_threshold_refuses_more_coordinates_than_there_are() -> None:
    with pytest.raises(PayloadError, match="claims 4294967295 of 4 coordinates"):
        codec("threshold(1)").decode([b"hf4-" + struct.pack("<II", 4, 2**32 - 1)], 4)


def test_stc_is_worked_by_hand() -> None:
    """Of 5 the largest 3, whose mean magnitude is 3."""
    decoded = sent(codec("stc(0.6)"), torch.tensor([[4.0, -3.0, 1.0, 2.0, 0.0]]))
    assert decoded.tolist() == [[3.0, -3.0, 0.0, 3.0, 0.0]]


def test_stc_is_top_k_and_sign() -> None:
    updates = deltas(3, 1000)
    assert torch.equal(sent(codec("stc(0.1)"), updates), sent(codec("chain(top_k(0.1), sign)"), updates))


MATRIX = (("weight", (24, 40)),)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_nears_the_truncated_svd(rank: int) -> None:
    """Of one matrix sent again and again, P Q^T becomes the best approximation of its rank (Eckart and Young)."""
    spectrum = torch.diag(0.6 ** torch.arange(24.0))
    left, right = torch.linalg.qr(normal(24, 24))[0], torch.linalg.qr(normal(40, 24))[0]
    matrix = left @ spectrum @ right.T
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    best = u[:, :rank] @ torch.diag(s[:rank]) @ v[:rank]
    compressor = codec(f"low_rank({rank})").fitted(MATRIX)
    state, errors = compressor.init(1, 960), []
    for done in range(25):
        payloads, state = compressor.encode(state, matrix.reshape(1, -1), generators(1, done))
        decoded = compressor.decode(payloads, 960).reshape(24, 40)
        errors.append(float((decoded - matrix).norm()))
    optimum = float(s[rank:].norm())
    assert errors[0] > errors[1] > optimum * (1 - 1e-6)
    assert errors[-1] == pytest.approx(optimum, rel=1e-4)
    assert torch.allclose(decoded, best, atol=1e-3)


def test_low_rank_is_exact_for_a_matrix_of_that_rank_and_sends_biases_whole() -> None:
    layout = (("weight", (24, 2, 20)), ("bias", (24,)))
    matrix = normal(24, 3) @ normal(3, 40, seed=1)
    update = torch.cat([matrix.reshape(1, -1), normal(1, 24)], dim=1)
    compressor = codec("low_rank(3)").fitted(layout)
    payloads, state = compressor.encode(compressor.init(1, 984), update, generators(1))
    assert len(payloads[0]) == 8 + 4 * (3 * (24 + 40) + 24)
    decoded = compressor.decode(payloads, 984)
    assert torch.allclose(decoded, update, atol=1e-4)
    assert torch.equal(decoded[:, 960:], update[:, 960:])
    assert state["right"].shape == (1, 120)


def test_low_rank_refuses_a_rank_above_the_layers() -> None:
    with pytest.raises(
        ValueError, match=r"rank must be at most 3, which is that of head.weight \[3, 8\], got 4"
    ):
        codec("low_rank(4)").fitted((("body.weight", (8, 8)), ("head.weight", (3, 8)), ("head.bias", (3,))))


def test_low_rank_needs_a_model() -> None:
    with pytest.raises(RuntimeError, match="needs the layout of a model"):
        codec("low_rank(1)").init(1, 4)


def test_sketch_finds_the_heavy_coordinates() -> None:
    """Charikar et al. 2002: an estimate errs by less than 3 ||the rest|| / sqrt(columns) in the median of the rows."""
    size = 20_000
    updates = 0.01 * normal(2, size)
    heavy = torch.arange(0, size, 4000)
    updates[:, heavy] = 10.0
    decoded = sent(codec("sketch(0.2, keep=0.00025)"), updates)
    columns = size // 25
    noise = 0.01 * math.sqrt(size / columns)
    for row in decoded:
        assert torch.equal(row.nonzero().flatten(), heavy)
        assert float((row[heavy] - 10).abs().median()) <= 3 * noise
    assert len(codec("sketch(0.2)").encode({}, updates, generators(2))[0][0]) == 8 + 4 * 5 * columns


def test_sketches_of_clients_add_up_to_the_sketch_of_the_sum() -> None:
    updates = normal(3, 1000)
    with_sum = torch.cat([updates, updates.sum(dim=0, keepdim=True)])
    payloads, _ = codec("sketch(0.5)").encode({}, with_sum, generators(4))
    tables = [torch.frombuffer(bytearray(payload[8:]), dtype=torch.float32) for payload in payloads]
    assert torch.allclose(tables[0] + tables[1] + tables[2], tables[3], atol=1e-4)


def sketched(text: str, updates: torch.Tensor, rows: int) -> np.ndarray:
    """The tables [C, rows, columns] that clients send."""
    payloads, _ = codec(text).encode({}, updates, generators(len(updates)))
    return np.stack([np.frombuffer(payload[8:], "<f4").reshape(rows, -1) for payload in payloads])


@pytest.mark.parametrize("rows", [3, 4, 5, 7])
@pytest.mark.parametrize("fraction", [0.5, 0.9])
def test_a_sketch_is_what_unit_vectors_say_of_its_hashes(rows: int, fraction: float) -> None:
    """Where each coordinate goes is read from the sketch of a unit vector; the rest is numpy's sum, median and sort."""
    size, text = 301, f"sketch({fraction}, keep=0.1, rows={rows})"
    units = sketched(text, torch.eye(size), rows)
    assert np.array_equal(np.abs(units).sum(axis=2), np.ones((size, rows)))
    assert set(np.unique(units)) == {-1, 0, 1}
    update = normal(1, size) * torch.exp(2 * normal(1, size, seed=4))
    table = np.tensordot(update[0].numpy(), units, 1)
    np.testing.assert_allclose(sketched(text, update, rows)[0], table, atol=1e-4)
    estimates = np.median((units * table).sum(axis=2), axis=1)
    expected = np.zeros(size)
    best = np.argsort(-np.abs(estimates), kind="stable")[: math.ceil(size / 10)]
    clear = table.size * estimates[best] ** 2 >= 20 * np.median((table**2).sum(axis=1))
    assert clear.sum() > 0
    expected[best[clear]] = estimates[best[clear]]
    found = sent(codec(text), update)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_two_coordinates_meet_in_a_row_as_often_as_in_any_hash_table() -> None:
    """1 / columns, whichever row, and in two rows at once the square of it; signs know nothing of places."""
    size, rows, columns = 2000, 4, 40
    units = sketched(f"sketch({rows * columns / size}, rows={rows})", torch.eye(size), rows)
    places, signs = np.abs(units).argmax(axis=2), units.sum(axis=(1, 2)) / rows
    first, second = np.triu_indices(size, 1)
    meet = places[first] == places[second]
    assert np.allclose(meet.mean(axis=0), 1 / columns, rtol=0.1)
    for one in range(rows):
        for other in range(one):
            assert (meet[:, one] & meet[:, other]).mean() == pytest.approx(1 / columns**2, rel=0.5)
    assert abs(signs.mean()) <= 5 / math.sqrt(size)
    assert abs((signs[first] * signs[second])[meet[:, 0]].mean()) <= 5 / math.sqrt(size)


def test_one_row_of_a_sketch_errs_by_the_norm_over_the_root_of_its_columns() -> None:
    """Charikar et al. 2002, lemma 2, for a normal update; the median of five errs less."""
    size, columns, rows, update = 2000, 40, 5, normal(1, 2000)
    text = f"sketch({rows * columns / size}, rows={rows})"
    units, table = sketched(text, torch.eye(size), rows), sketched(text, update, rows)[0]
    errors = (units * table).sum(axis=2) - update.numpy().T
    expected = float(update.norm()) / math.sqrt(columns)
    assert np.sqrt((errors**2).mean()) == pytest.approx(expected, rel=0.1)
    of_median = np.median((units * table).sum(axis=2), axis=1) - update[0].numpy()
    assert np.sqrt((of_median**2).mean()) == pytest.approx(math.sqrt(math.pi / 2 / rows) * expected, rel=0.15)


def test_a_sketch_of_an_update_without_heavy_coordinates_says_next_to_nothing_rather_than_noise() -> None:
    """3.7 standard errors: two in ten thousand; the largest 1 % would have lost 2.3 times the update."""
    update = normal(1, 20_000)
    decoded = sent(codec("sketch(0.1)"), update)
    assert int((decoded != 0).sum()) <= 2 * 2e-4 * 20_000
    assert float(lost(decoded, update)) <= 1.1


def test_arguments_out_of_range_are_refused() -> None:
    for text, message in {
        "random_k(0)": r"fraction must be in \(0, 1\], got 0",
        "block_top_k(0.1, block_size=0)": "block_size must be at least 1, got 0",
        "threshold(0)": "value must be a finite number > 0, got 0",
        "stc(2)": r"fraction must be in \(0, 1\], got 2",
        "low_rank(0)": "rank must be at least 1, got 0",
        "sketch(0.1, rows=2)": "rows must be at least 3, got 2",
        "sketch(1.1)": r"fraction must be in \(0, 1\], got 1.1",
        "sketch(0.1, keep=2)": r"keep must be in \(0, 1\], got 2",
    }.items():
        with pytest.raises(ValueError, match=message):
            codec(text)
