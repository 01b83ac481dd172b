"""How numbers become bytes: each coding against its definition or a library's."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch

from federated.compressors import PayloadError
from tests.conftest import codec, deltas, generators, normal, sent


def test_none_sends_every_bit() -> None:
    updates = torch.tensor([[1e-45, -0.0, 3.4028235e38, -1.1754944e-38, math.pi]])
    assert sent(codec("none"), updates).numpy().tobytes() == updates.numpy().tobytes()


def test_float16_rounds_as_torch_does_and_clamps_what_is_too_large() -> None:
    updates = deltas(2, 500)
    assert torch.equal(sent(codec("float16"), updates), updates.half().float())
    huge = torch.tensor([[1e38, -1e38, 65504.0, 65519.0, 65520.0, 1e-45, 6e-8]])
    assert sent(codec("float16"), huge).tolist() == [[65504, -65504, 65504, 65504, 65504, 0, 2**-24]]


def test_bfloat16_rounds_as_torch_does_and_clamps_what_would_be_infinite() -> None:
    updates = torch.cat([deltas(2, 5000), 1 + torch.arange(10_000.0).reshape(2, -1) * 2**-12], dim=1)
    assert torch.equal(sent(codec("bfloat16"), updates), updates.bfloat16().float())
    largest = torch.finfo(torch.bfloat16).max
    assert sent(codec("bfloat16"), torch.tensor([[3.4028235e38, -3.4e38, 1e-45]])).tolist() == [
        [largest, -largest, 0]
    ]


@pytest.mark.parametrize("block_size", [None, 7, 64])
def test_int8_is_torchs_symmetric_quantisation(block_size: int | None) -> None:
    updates = normal(2, 200)
    decoded = sent(codec(f"int8(block_size={block_size or 'null'})"), updates)
    for row, found in zip(updates, decoded, strict=True):
        for block, values in zip(row.split(block_size or 200), found.split(block_size or 200), strict=True):
            scale = float(block.abs().max()) / 127
            expected = torch.fake_quantize_per_tensor_affine(block, scale, 0, -127, 127)
            assert torch.allclose(values, expected, rtol=1e-5, atol=0)
            assert (values - block).abs().max() <= scale / 2 * (1 + 1e-5)


@pytest.mark.slow
def test_terngrad_is_minus_zero_or_plus_the_largest_as_often_as_the_paper_says() -> None:
    draws = 20_000
    updates = torch.tensor([[2.0, 0.5, -1.5, 0.0]]).expand(draws, -1).contiguous()
    decoded = sent(codec("terngrad"), updates)
    assert set(decoded.unique().tolist()) == {-2.0, 0.0, 2.0}
    for column, share in ((0, 1.0), (1, 0.25), (2, 0.75), (3, 0.0)):
        found = float((decoded[:, column] != 0).float().mean())
        assert abs(found - share) <= 5 * math.sqrt(share * (1 - share) / draws)


def test_terngrad_clips_at_standard_deviations() -> None:
    updates = torch.cat([normal(1, 1000), torch.tensor([[100.0]])], dim=1)
    bound = 2.5 * float(updates.std(correction=0))
    assert sent(codec("terngrad(clip=2.5)"), updates).abs().max() == pytest.approx(bound, rel=1e-5)
    assert sent(codec("terngrad"), updates).abs().max() == 100


def test_terngrad_payload_byte_by_byte() -> None:
    """Digits 2, 1, 0, 2, 2 and 0 with zeros to fill: 2*81 + 27 + 0 + 6 + 2 = 197, and 0."""
    (payload,), _ = codec("terngrad").encode({}, torch.tensor([[3.0, 0, -3, 3, 3, -3]]), generators(1))
    assert payload == b"-te-" + struct.pack("<If2B", 6, 3.0, 197, 0)


def test_sign_sends_the_mean_magnitude_and_the_signs() -> None:
    decoded = sent(codec("sign"), torch.tensor([[1.0, -2.0, 3.0, -6.0]]))
    assert decoded.tolist() == [[3.0, -3.0, 3.0, -3.0]]
    assert sent(codec("sign(scale=one)"), torch.tensor([[0.1, -2.0]])).tolist() == [[1.0, -1.0]]


def test_the_scale_of_sign_is_the_best_of_all() -> None:
    """The least-squares multiple of the signs is <x, sign x> / P, what numpy's solver finds."""
    update = normal(1, 300)
    best = np.linalg.lstsq(update[0].sign().numpy()[:, None], update[0].numpy())[0][0]
    assert float(sent(codec("sign"), update)[0, 0].abs()) == pytest.approx(best, rel=1e-5)


def test_sign_lets_a_zero_take_sides_evenly() -> None:
    updates = torch.zeros(1, 10_001)
    updates[0, 0] = 1
    votes = sent(codec("sign(scale=one)"), updates)[0, 1:]
    assert abs(float(votes.mean())) <= 5 / math.sqrt(10_000)
    assert votes.abs().min() == 1


def test_votes_of_another_size_are_refused() -> None:
    with pytest.raises(PayloadError, match=r"votes of 5\.0"):
        codec("sign(scale=one)").decode([b"-s1-" + struct.pack("<IfB", 4, 5.0, 0)], 4)


def test_natural_is_one_of_the_powers_of_two_beside_each_number() -> None:
    updates = deltas(3, 400)
    decoded = sent(codec("natural"), updates).double()
    ratio = decoded / updates.double()
    moved = ratio[updates != 0]
    assert torch.all((moved > 0.5 - 1e-9) & (moved <= 2))
    assert torch.all(torch.log2(decoded[decoded != 0].abs()) % 1 == 0)


def test_natural_variance_is_within_the_published_bound() -> None:
    """E||Q(x) - x||^2 <= ||x||^2 / 8 (Horvath et al. 2022, theorem 1), which 4/3 reaches."""
    draws = 2000
    worst = torch.full((1, 50), 4 / 3)
    for update, least in ((deltas(1, 50), 0.0), (worst, 0.98)):
        decoded = sent(codec("natural"), update.expand(draws, -1).contiguous())
        lost = (decoded - update).double().square().sum(dim=1)
        share = lost / update.double().square().sum()
        assert float(share.mean()) <= 1 / 8 + 5 * float(share.std()) / math.sqrt(draws)
        assert float(share.mean()) >= least / 8


def test_arguments_out_of_range_are_refused() -> None:
    for text, message in {
        "int8(block_size=0)": "block_size must be at least 1, or null, got 0",
        "terngrad(clip=0)": "clip must be a finite number > 0, or null, got 0",
        "eden(0.5)": "bits must be between 1 and 4, got 0.5",
        "eden(5)": "bits must be between 1 and 4, got 5",
        "sign(scale=two)": "sign.scale",
    }.items():
        with pytest.raises(ValueError, match=message):
            codec(text)
