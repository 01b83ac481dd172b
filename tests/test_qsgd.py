"""QSGD: its levels, its published variance, and its payload byte by byte."""

from __future__ import annotations

import math
import struct

import pytest
import torch

from federated.compressors import COMPRESSORS, PayloadError
from tests.conftest import deltas, generators, sent


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("norm", ["max", "l2"])
def test_qsgd_gives_one_of_the_two_levels_beside_each_coordinate(bits: int, norm: str) -> None:
    updates, levels = deltas(5, 64, seed=bits), 2 ** (bits - 1) - 1
    for row, decoded in zip(updates, sent(COMPRESSORS["qsgd"](bits, norm=norm), updates), strict=True):
        scale = row.abs().max().double() if norm == "max" else row.double().norm()
        steps = decoded.double() / scale * levels
        exact = row.double() / scale * levels
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        assert torch.all((steps - exact).abs() < 1 + 1e-4)
        assert torch.all(steps.abs() <= levels + 1e-4)


def test_qsgd_rounds_up_as_often_as_the_paper_says() -> None:
    """x = 0.3 of a norm of 1 with 3 levels: 0.9 steps, so 1/3 nine times in ten and 0 once."""
    draws = 20_000
    updates = torch.tensor([[1.0, 0.3, -0.3]]).expand(draws, -1).contiguous()
    decoded = sent(COMPRESSORS["qsgd"](3), updates)
    error = 5 * math.sqrt(0.9 * 0.1 / draws)
    assert torch.all(decoded[:, 0] == 1)
    for column, value in ((1, 1 / 3), (2, -1 / 3)):
        up = torch.isclose(decoded[:, column], torch.tensor(value))
        assert torch.all(up | (decoded[:, column] == 0))
        assert abs(float(up.float().mean()) - 0.9) < error


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("bucket", [4, 64])
def test_qsgd_variance_is_within_the_published_bound(bits: int, bucket: int) -> None:
    """E||Q(x) - x||^2 <= min(d / s^2, sqrt(d) / s) ||x||^2, bucket by bucket (Alistarh et al. 2017, lemma 3.1)."""
    levels, draws = 2 ** (bits - 1) - 1, 400
    update = deltas(1, 64, seed=4)
    decoded = sent(COMPRESSORS["qsgd"](bits, bucket, "l2"), update.expand(draws, -1).contiguous())
    squared = (decoded - update).double().square().reshape(draws, -1, bucket).sum(dim=2)
    bound = min(bucket / levels**2, math.sqrt(bucket) / levels) * update.double().square().reshape(
        -1, bucket
    ).sum(dim=1)
    assert torch.all(squared.mean(dim=0) <= bound + 5 * squared.std(dim=0) / math.sqrt(draws))


def test_qsgd_variance_is_that_of_a_rounded_coin() -> None:
    """E(Q(x) - x)^2 = (scale / s)^2 f (1 - f) for the fraction f between two levels."""
    draws, update = 20_000, torch.tensor([[1.0, 0.1, 0.47, -0.8]])
    decoded = sent(COMPRESSORS["qsgd"](4), update.expand(draws, -1).contiguous()).double()
    fraction = (update.double().abs() * 7) % 1
    expected = (fraction * (1 - fraction) / 49)[0]
    squares = (decoded - update).square()
    assert torch.all(
        (squares.mean(dim=0) - expected).abs() <= 5 * squares.std(dim=0) / math.sqrt(draws) + 1e-7
    )


def test_qsgd_scales_each_bucket_by_itself() -> None:
    updates = torch.tensor([[1.0, 0.0, 100.0, 0.0, 1e-6]])
    assert torch.equal(sent(COMPRESSORS["qsgd"](2, bucket_size=2), updates), updates)


def test_qsgd_payload_byte_by_byte() -> None:
    """Codes are level + 3 of 3 bits: 6, 3, 0, 3 and 6 are 110 011 000 011 110 and one 0 to fill the byte."""
    (payload,), _ = COMPRESSORS["qsgd"](3).encode(
        {}, torch.tensor([[2.0, 0.0, -2.0, 0.0, 2.0]]), generators(1)
    )
    assert payload == b"-qs-" + struct.pack("<If", 5, 2.0) + bytes([0b11001100, 0b00111100])


def test_qsgd_draws_from_each_clients_own_generator() -> None:
    updates = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]]).expand(2, -1).contiguous()
    compressor = COMPRESSORS["qsgd"](2)
    one, other = generators(2)
    assert compressor.encode({}, updates, [one, other])[0] == compressor.encode({}, updates, generators(2))[0]
    assert len(set(compressor.encode({}, updates, generators(2))[0])) == 2


@pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
def test_qsgd_refuses_norms_that_no_encoder_writes(norm: float) -> None:
    payload = b"-qs-" + struct.pack("<If", 2, norm) + bytes([0b01_10_0000])
    with pytest.raises(PayloadError, match="that no encoder writes"):
        COMPRESSORS["qsgd"](2).decode([payload], 2)


@pytest.mark.parametrize("bits", range(2, 9))
def test_qsgd_refuses_the_one_code_that_stands_for_nothing(bits: int) -> None:
    payload = b"-qs-" + struct.pack("<If", 8, 1.0) + b"\xff" * bits
    with pytest.raises(PayloadError, match="that no encoder writes"):
        COMPRESSORS["qsgd"](bits).decode([payload], 8)


@pytest.mark.parametrize("norm", ["max", "l2"])
@pytest.mark.parametrize("size", [3.4028235e38, 1e30, 1e-30, 1e-37])
def test_qsgd_is_unbiased_for_extreme_updates_too(norm: str, size: float) -> None:
    draws = 2000
    updates = torch.tensor([[size, -size, 0.0, size / 4]]).expand(draws, -1).contiguous()
    many = sent(COMPRESSORS["qsgd"](4, norm=norm), updates).double() / size
    error = many.std(dim=0) / math.sqrt(draws)
    assert torch.all((many.mean(dim=0) - torch.tensor([1.0, -1.0, 0.0, 0.25])).abs() <= 5 * error + 1e-6)


def test_qsgd_with_the_largest_norm_decodes_its_top_coordinate_exactly() -> None:
    for bits in range(2, 9):
        updates = torch.tensor([[3.4028235e38, -3.4028235e38, 1e-45, 0.1]])
        decoded = sent(COMPRESSORS["qsgd"](bits, bucket_size=2), updates)
        assert torch.equal(decoded[0, :2], updates[0, :2])
        assert decoded[0, 3] == updates[0, 3]


def test_qsgd_refuses_other_bits_and_buckets() -> None:
    for bits in (1, 9, 0, -4):
        with pytest.raises(ValueError, match=f"bits must be between 2 and 8, got {bits}"):
            COMPRESSORS["qsgd"](bits)
    with pytest.raises(ValueError, match="bucket_size must be at least 1, got 0"):
        COMPRESSORS["qsgd"](4, bucket_size=0)
