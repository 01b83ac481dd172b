"""Payloads are hostile input: whatever arrives is decoded or refused, quickly and in little memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.compressors import COMPRESSORS, HEADER_BYTES, Compressor, PayloadError
from tests.conftest import codec, generators, normal

CODECS = (
    "none",
    "float16",
    "bfloat16",
    "int8(block_size=16)",
    "natural",
    "qsgd(3, bucket_size=16)",
    "terngrad",
    "sign",
    "drive",
    "eden(2.5)",
    "top_k(0.1)",
    "block_top_k(0.2, block_size=4)",
    "random_k(0.2)",
    "threshold(1)",
    "stc(0.2)",
    "low_rank(1)",
    "sketch(0.5)",
    "entropy",
    "chain(threshold(0.5), qsgd(4), entropy)",
    "chain(low_rank(1), qsgd(4), entropy)",
    "chain(sketch(0.5), eden(2), entropy)",
    "chain(block_top_k(0.2, block_size=4), terngrad, entropy)",
    "chain(random_k(0.2), drive)",
    "layer_wise(chain(top_k(0.2), natural, entropy))",
    "layer_wise(low_rank(1))",
    "layer_wise(eden(3))",
    "error_feedback(layer_wise(chain(threshold(1), sign, entropy)))",
    "error_feedback(top_k(0.1))",
    "momentum_correction(error_feedback(top_k(0.1)))",
    "difference(chain(qsgd(2), entropy))",
)
LAYOUT = (("weight", (15, 13)), ("bias", (15,)))
SIZE = 210
SECONDS = 0.5
"""Of the thread that decodes one payload of a hundred bytes or so; an honest one takes less than a thousandth."""


def made(text: str) -> tuple[Compressor, bytes]:
    """The codec for the model, and an honest payload."""
    compressor = codec(text).fitted(LAYOUT)
    (payload,), _ = compressor.encode(compressor.init(1, SIZE), normal(1, SIZE), generators(1))
    return compressor, payload


HONEST = {text: made(text) for text in CODECS}
every_codec = pytest.mark.parametrize("text", CODECS)


def decoded_or_refused(text: str, payload: bytes) -> None:
    """A finite vector of the right shape, or PayloadError, soon; no warning of an overflow on the way, either."""
    started = time.thread_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decoded = HONEST[text][0].decode([payload], SIZE)
    except PayloadError:
        return
    finally:
        assert time.thread_time() - started < SECONDS
    assert decoded.shape == (1, SIZE)
    assert torch.isfinite(decoded).all()


def test_every_registered_compressor_is_fuzzed() -> None:
    named = {name for text in CODECS for name in COMPRESSORS if name in text.replace("(", ",").split(",")}
    inside = {name for text in CODECS for name in COMPRESSORS if f"{name}(" in text}
    assert named | inside == set(COMPRESSORS)


@every_codec
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_honest_payload_with_bytes_changed(text: str, data: st.DataObject) -> None:
    payload = bytearray(HONEST[text][1])
    changes = st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(changes, min_size=1, max_size=8)):
        payload[at] = value
    decoded_or_refused(text, bytes(payload))


@every_codec
@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=600))
def test_anything_behind_an_honest_header(text: str, content: bytes) -> None:
    decoded_or_refused(text, HONEST[text][1][:HEADER_BYTES] + content)


@every_codec
def test_an_honest_payload_cut_short_anywhere_is_refused(text: str) -> None:
    compressor, payload = HONEST[text]
    for length in range(len(payload)):
        with pytest.raises(PayloadError):
            compressor.decode([payload[:length]], SIZE)


@pytest.mark.slow
@every_codec
def test_every_bit_of_an_honest_payload_may_be_wrong(text: str) -> None:
    _, payload = HONEST[text]
    for at in range(min(len(payload), 300)):
        for bit in range(8):
            flipped = bytes([payload[at] ^ 1 << bit])
            decoded_or_refused(text, payload[:at] + flipped + payload[at + 1 :])


@every_codec
@pytest.mark.parametrize("length", [2**32 - 1, 2**31, 2**24, SIZE + 1])
def test_lengths_and_counts_that_are_huge_cost_no_memory(text: str, length: int) -> None:
    """At every place, as four bytes."""
    _, payload = HONEST[text]
    tracemalloc.start()
    try:
        for at in range(min(len(payload) - 4, 300)):
            decoded_or_refused(text, payload[:at] + struct.pack("<I", length) + payload[at + 4 :])
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@every_codec
def test_whatever_arrives_takes_little_memory(text: str) -> None:
    """Random bytes behind an honest header, and behind as much of an honest payload as any."""
    _, payload = HONEST[text]
    numbers = np.random.default_rng(0)
    hostile = [
        payload[: int(numbers.integers(HEADER_BYTES, len(payload)))]
        + numbers.bytes(int(numbers.integers(600)))
        for _ in range(300)
    ]
    tracemalloc.start()
    try:
        for each in hostile:
            decoded_or_refused(text, each)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@every_codec
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3.4e38])
def test_floats_that_are_not_finite_never_reach_the_server(text: str, number: float) -> None:
    _, payload = HONEST[text]
    for at in range(HEADER_BYTES, min(len(payload) - 4, 60)):
        decoded_or_refused(text, payload[:at] + struct.pack("<f", number) + payload[at + 4 :])
