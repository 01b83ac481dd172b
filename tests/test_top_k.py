"""Top-k: against a sort, the published contraction, and its payload byte by byte."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch

from federated.compressors import COMPRESSORS, PayloadError
from tests.conftest import codec, deltas, generators, normal, sent


@pytest.mark.parametrize("fraction", [0.001, 0.07, 1 / 3, 0.5, 1.0])
@pytest.mark.parametrize("num_parameters", [1, 2, 99, 100, 1000])
def test_top_k_is_argsort_by_magnitude(fraction: float, num_parameters: int) -> None:
    updates = torch.from_numpy(
        np.random.default_rng(1).standard_normal((3, num_parameters)).astype(np.float32)
    )
    decoded = sent(COMPRESSORS["top_k"](fraction), updates).numpy()
    for row, kept in zip(updates.numpy(), decoded, strict=True):
        k = math.ceil(round(fraction * num_parameters, 9))
        expected = np.zeros_like(row)
        largest = np.argsort(-np.abs(row))[:k]
        expected[largest] = row[largest]
        assert np.array_equal(kept, expected)


@pytest.mark.parametrize(
    ("fraction", "num_parameters", "k"),
    [
        (0.07, 100, 7),
        (0.07, 101, 8),
        (0.29, 100, 29),
        (0.1, 1, 1),
        (1e-300, 10, 1),
        (0.05, 200, 10),
        (1.0, 3, 3),
    ],
)
def test_top_k_keeps_the_stated_fraction_rounded_up(fraction: float, num_parameters: int, k: int) -> None:
    decoded = sent(
        COMPRESSORS["top_k"](fraction),
        torch.rand(1, num_parameters, generator=torch.Generator().manual_seed(1)) + 1,
    )
    assert int((decoded != 0).sum()) == k


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 1.0])
def test_top_k_contracts_as_published(fraction: float) -> None:
    """||x - top_k(x)||^2 <= (1 - k/P) ||x||^2, with equality where all magnitudes are equal."""
    for seed in range(10):
        updates = deltas(4, 200, seed)
        lost = (updates - sent(COMPRESSORS["top_k"](fraction), updates)).double().square().sum(dim=1)
        assert torch.all(lost <= (1 - fraction) * updates.double().square().sum(dim=1) * (1 + 1e-9))
    flat = torch.tensor([1.0, -1.0]).repeat(100)[None]
    assert float((flat - sent(COMPRESSORS["top_k"](fraction), flat)).square().sum()) == round(
        200 * (1 - fraction)
    )


@pytest.mark.parametrize("positions", [(3, 1), (1, 1), (1, 5), (0, 65_535), (4, 4)])
def test_top_k_refuses_positions_that_do_not_rise_within_the_model(positions: tuple[int, int]) -> None:
    payload = b"tf4-" + struct.pack("<IB2H2f", 5, 255, *positions, 1.0, 2.0)
    with pytest.raises(PayloadError, match="positions do not rise strictly below 5"):
        COMPRESSORS["top_k"](0.4).decode([payload], 5)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, math.nan])
def test_top_k_refuses_other_fractions(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\], got {fraction}"):
        COMPRESSORS["top_k"](fraction)


def test_top_k_payload_byte_by_byte() -> None:
    """Two positions are shorter as plain integers, form 255; then -3 and 2."""
    payloads, _ = codec("top_k(0.4)").encode({}, torch.tensor([[0.5, -3.0, 0.0, 2.0, 1.0]]), generators(1))
    assert payloads == [b"tf4-" + struct.pack("<IB2H2f", 5, 255, 1, 3, -3.0, 2.0)]


@pytest.mark.parametrize("size", [10, 70_000])
def test_top_k_keeps_the_first_of_equal_magnitudes(size: int) -> None:
    updates = torch.tensor([1.0, -1.0]).repeat(size // 2)[None]
    kept = sent(codec("top_k(0.1)"), updates)[0].nonzero().flatten()
    assert kept.tolist() == list(range(size // 10))


def test_top_k_of_a_long_update_is_that_of_a_sort() -> None:
    """Long enough that most coordinates are thrown away on the judgement of a sample."""
    for seed, update in enumerate([normal(1, 200_000), deltas(1, 200_000), torch.arange(200_000.0)[None]]):
        kept = sent(codec("top_k(0.003)"), update, seed)[0].nonzero().flatten()
        assert set(kept.tolist()) == set(update[0].abs().argsort(descending=True)[:600].tolist())
