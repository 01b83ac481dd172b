"""Chains: any positions, values and lossless coding together; entropy coding against Shannon's bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.conftest import codec, deltas, generators, normal, sent

POSITIONS = ("top_k(0.1)", "block_top_k(0.1)", "random_k(0.1)", "threshold(1)", "sketch(0.5)")
VALUES = ("float16", "bfloat16", "int8", "natural", "qsgd(3)", "terngrad", "sign", "drive", "eden(2)")


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("values", VALUES)
def test_entropy_coding_changes_no_number(positions: str, values: str) -> None:
    updates = normal(2, 3000)
    plain, coded = (sent(codec(f"chain({positions}, {values}{end})"), updates) for end in ("", ", entropy"))
    assert torch.equal(plain, coded)


def test_a_chain_sends_the_values_of_the_coordinates_that_its_first_part_chooses() -> None:
    updates = deltas(2, 1000)
    kept = sent(codec("top_k(0.1)"), updates)
    assert torch.equal(sent(codec("chain(top_k(0.1), float16)"), updates), kept.half().float())


def test_a_chain_of_one_is_that_one() -> None:
    updates = deltas(2, 100)
    for text in ("qsgd(4)", "top_k(0.1)", "entropy", "none"):
        alone, chained = codec(text), codec(f"chain({text})")
        assert alone.encode({}, updates, generators(2)) == chained.encode({}, updates, generators(2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chain(qsgd(4), top_k(0.1))", "which coordinates travel must be said once, and before"),
        ("chain(entropy, qsgd(4))", "how numbers become bytes must be said once, and before"),
        ("chain(stc(0.1), qsgd(4))", "how numbers become bytes must be said once"),
        ("chain(top_k(0.1), random_k(0.1))", "which coordinates travel must be said once"),
        ("chain(low_rank(1), top_k(0.1))", "which coordinates travel must be said once"),
        ("chain(error_feedback(top_k(0.1)), entropy)", r"write error_feedback\(chain\(...\)\)"),
        ("chain(layer_wise(int8))", "a chain joins parts"),
        ("chain", "the argument 'first' is required"),
    ],
)
def test_chains_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec(text)


@pytest.mark.parametrize("bits", range(2, 9))
def test_entropy_coding_is_close_to_shannons_bound(bits: int) -> None:
    """The order-0 entropy of the bytes, plus a table of 32 bytes and 2 for each that occurs, plus 1 %."""
    updates, width = torch.exp(normal(1, 200_000)) * normal(1, 200_000, seed=1), 1 << (bits - 1).bit_length()
    (payload,), _ = codec(f"chain(qsgd({bits}), entropy)").encode({}, updates, generators(1))
    (plain,), _ = codec(f"qsgd({bits})").encode({}, updates, generators(1))
    if width == bits:  # the same bytes without the coding
        counts = np.bincount(np.frombuffer(plain[8:], np.uint8))
        bound = -sum(n * math.log2(n / counts.sum()) for n in counts if n) / 8
        assert bound <= len(payload) - 8 <= 1.01 * bound + 32 + 512 + 16
    assert len(payload) < len(plain)


def test_what_does_not_get_shorter_stays_as_it_is() -> None:
    numbers = torch.from_numpy(np.random.default_rng(0).integers(1, 2**31, (1, 500)).astype(np.int32))
    updates = numbers.view(torch.float32).nan_to_num(1.0, 1.0, 1.0)
    (payload,), _ = codec("chain(int8, entropy)").encode({}, updates, generators(1))
    assert len(payload) <= 8 + 4 + 1 + 4 + 500
    assert codec("chain(int8, entropy)").decode([payload], 500).shape == (1, 500)


def test_one_byte_value_needs_no_table() -> None:
    (payload,), _ = codec("entropy").encode({}, torch.zeros(1, 10_000), generators(1))
    assert len(payload) == 8 + 4 + 5 + 1
