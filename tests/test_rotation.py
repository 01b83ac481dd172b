"""DRIVE and EDEN: the rotation, the centroids, and the published errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from federated.compressors.values.rotated_values import CENTROIDS
from federated.compressors.values.rotation import block_sizes, rotated, turn
from tests.conftest import codec, deltas, generators, normal, sent

PUBLISHED = {1: math.pi / 2 - 1, 2: 0.133, 3: 0.0358, 4: 0.0096}
"""E||Q(x) - x||^2 / ||x||^2 of EDEN with a random rotation, without bias (Vargaftik et al. 2022, section 3)."""


@pytest.mark.parametrize("width", [1, 2, 8, 32, 512])
def test_the_rotation_is_that_of_the_walsh_hadamard_matrix(width: int) -> None:
    """Its entry [i, j] is minus one to the number of ones that i and j have in common in binary."""
    blocks = normal(3, width).numpy()
    signs = np.array([[(-1) ** (i & j).bit_count() for j in range(width)] for i in range(width)])
    expected = blocks @ (signs / math.sqrt(width))
    assert np.allclose(rotated(blocks), expected, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 8, 32, 64, 4096])
def test_a_turn_keeps_lengths_and_goes_back(width: int) -> None:
    blocks = normal(3, width).numpy()
    there = turn(np.random.default_rng(0), 3, width)
    assert np.allclose(
        np.linalg.norm(there.forward(blocks), axis=1), np.linalg.norm(blocks, axis=1), rtol=1e-4
    )
    assert np.allclose(there.backward(there.forward(blocks)), blocks, atol=1e-4)
    again, other = (turn(np.random.default_rng(seed), 3, width).forward(blocks) for seed in (0, 1))
    assert np.array_equal(again, there.forward(blocks))
    assert width == 1 or not np.allclose(again, other)


@pytest.mark.parametrize("width", [2, 8, 32, 256])
def test_a_spike_becomes_normal(width: int) -> None:
    """Uniform on the sphere: E z^4 = 3 w^2 / (w (w + 2)) at mean square 1; turned once it is 1."""
    numbers, spike = np.random.default_rng(1), np.eye(width, dtype=np.float32)[:1] * np.sqrt(width)
    turned = np.array([turn(numbers, 1, width).forward(spike)[0] for _ in range(3000)])
    assert np.mean(turned**4) == pytest.approx(3 * width / (width + 2), rel=0.06)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 650, 4095, 4096, 10_000, 1_700_000])
def test_blocks_hold_all_numbers_and_few_zeros_more(count: int) -> None:
    sizes = block_sizes(count)
    assert all(width & (width - 1) == 0 for _, width in sizes)
    assert count <= sum(number * width for number, width in sizes) < count + 32


@pytest.mark.parametrize("bits", CENTROIDS)
def test_centroids_are_the_means_of_their_own_cells(bits: int) -> None:
    """Lloyd's condition, with scipy's normal distribution: E[z | a < z < b] = (pdf(a) - pdf(b)) / (cdf(b) - cdf(a))."""
    centroids = CENTROIDS[bits].astype(float)
    edges = np.concatenate([[-np.inf], (centroids[1:] + centroids[:-1]) / 2, [np.inf]])
    means = (norm.pdf(edges[:-1]) - norm.pdf(edges[1:])) / (norm.cdf(edges[1:]) - norm.cdf(edges[:-1]))
    assert len(centroids) == 2**bits
    assert np.allclose(centroids, means, atol=2e-5)


@pytest.mark.parametrize("bits", PUBLISHED)
@pytest.mark.parametrize("heavy", [0.0, 0.5, 1.0])
def test_the_error_is_the_published_one_whatever_the_update(bits: int, heavy: float) -> None:
    """Normal coordinates, and normal ones times log-normal ones, which differ by orders of magnitude."""
    updates = normal(8, 2**14) * torch.exp(heavy * normal(8, 2**14, seed=1))
    decoded = sent(codec(f"eden({bits})"), updates)
    error = (decoded - updates).square().sum(dim=1) / updates.square().sum(dim=1)
    assert float(error.mean()) == pytest.approx(PUBLISHED[bits], rel=0.04)


def test_drive_is_eden_of_one_bit() -> None:
    updates = deltas(3, 5000)
    assert torch.equal(sent(codec("drive"), updates), sent(codec("eden(1)"), updates))


@pytest.mark.parametrize(("bits", "error"), [(1, 1 - 2 / math.pi), (2, 0.1175), (4, 0.00954)])
def test_the_biased_scale_errs_least(bits: int, error: float) -> None:
    """1 - 2/pi of DRIVE (theorem 2); the distortion of the quantiser itself (Max 1960, table 1)."""
    updates = normal(8, 2**14)
    decoded = sent(codec(f"eden({bits}, unbiased=false)"), updates)
    found = (decoded - updates).square().sum(dim=1) / updates.square().sum(dim=1)
    assert float(found.mean()) == pytest.approx(error, rel=0.04)


@pytest.mark.parametrize("bits", [1.25, 1.5, 2.5, 3.75])
def test_a_fraction_of_a_bit_errs_in_between(bits: float) -> None:
    """That share of the numbers has one bit more; what is lost of a Gaussian's energy is known (Max 1960, table 1)."""
    lost = {1: 1 - 2 / math.pi, 2: 0.1175, 3: 0.03454, 4: 0.009497}
    low, share = int(bits), bits - int(bits)
    updates = normal(8, 2**14)
    decoded = sent(codec(f"eden({bits})"), updates)
    found = (decoded - updates).square().sum(dim=1) / updates.square().sum(dim=1)
    kept = 1 - (1 - share) * lost[low] - share * lost[low + 1]
    assert float(found.mean()) == pytest.approx(1 / kept - 1, rel=0.04)
    (payload,), _ = codec(f"eden({bits})").encode({}, updates[:1], generators(1))
    assert len(payload) == 8 + 8 + 8 * 4 + bits * 2**14 / 8


@pytest.mark.parametrize("bits", [1, 2])
def test_the_bias_of_long_updates_is_within_five_standard_errors(bits: int) -> None:
    """Along the update, where the scale puts none; and in every coordinate, over draws of the rotation."""
    draws, update = 2000, normal(1, 1024, seed=5)
    many = sent(codec(f"eden({bits})"), update.expand(draws, -1).contiguous()).double()
    error = many.std(dim=0) / math.sqrt(draws)
    assert torch.all((many.mean(dim=0) - update[0]).abs() <= 5 * error)
    along = many @ update[0].double() / update.double().square().sum()
    assert torch.allclose(along, torch.ones(draws, dtype=torch.float64), atol=1e-4)


def test_each_client_rotates_by_itself() -> None:
    """The mean over clients of one update errs as many times less as there are clients."""
    update = normal(1, 4096)
    decoded = sent(codec("drive"), update.expand(64, -1).contiguous())
    error = (decoded.mean(dim=0) - update[0]).square().sum() / update.square().sum()
    assert float(error) == pytest.approx(PUBLISHED[1] / 64, rel=0.1)
