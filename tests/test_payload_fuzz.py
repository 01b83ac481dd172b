"""Payloads are hostile input: whatever arrives is decoded or refused, quickly and in little memory."""

from __future__ import annotations

import struct
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
    "layer_wise(chain(top_k(0.2), natural, entropy))",
    "error_feedback(top_k(0.1))",
    "momentum_correction(error_feedback(top_k(0.1)))",
    "difference(chain(qsgd(2), entropy))",
)
LAYOUT = (("weight", (15, 13)), ("bias", (15,)))
SIZE = 210


def made(text: str) -> tuple[Compressor, bytes]:
    """The codec for the model, and an honest payload."""
    compressor = codec(text).fitted(LAYOUT)
    (payload,), _ = compressor.encode(compressor.init(1, SIZE), normal(1, SIZE), generators(1))
    return compressor, payload


HONEST = {text: made(text) for text in CODECS}
every_codec = pytest.mark.parametrize("text", CODECS)


def decoded_or_refused(text: str, payload: bytes) -> None:
    """A finite vector of the right shape, or PayloadError; no warning of an overflow on the way, either."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decoded = HONEST[text][0].decode([payload], SIZE)
    except PayloadError:
        return
    assert decoded.shape == (1, SIZE)
    assert torch.isfinite(decoded).all()


def test_every_registered_compressor_is_fuzzed() -> None:
    named = {name for text in CODECS for name in COMPRESSORS if name in text.replace("(", ",").split(",")}
    inside = {name for text in CODECS for name in COMPRESSORS if f"{name}(" in text}
    assert named | inside == set(COMPRESSORS)


@every_codec
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_an_honest_payload_with_bytes_changed(text: str, data: st.DataObject) -> None:
    payload = bytearray(HONEST[text][1])
    changes = st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(changes, min_size=1, max_size=8)):
        payload[at] = value
    decoded_or_refused(text, bytes(payload))


@every_codec
@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=600))
def test_anything_behind_an_honest_header(text: str, content: bytes) -> None:
    decoded_or_refused(text, HONEST[text][1][:HEADER_BYTES] + content)


@every_codec
def test_an_honest_payload_cut_short_anywhere_is_refused(text: str) -> None:
    compressor, payload = HONEST[text]
    for length in range(len(payload)):
        with pytest.raises(PayloadError):
            compressor.decode([payload[:length]], SIZE)


@every_codec
def test_lengths_and_counts_that_are_huge_cost_no_memory(text: str) -> None:
    """Four bytes of ones at every place of the first hundred."""
    _, payload = HONEST[text]
    tracemalloc.start()
    try:
        for at in range(min(len(payload) - 4, 100)):
            decoded_or_refused(text, payload[:at] + struct.pack("<I", 2**32 - 1) + payload[at + 4 :])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@every_codec
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3.4e38])
def test_floats_that_are_not_finite_never_reach_the_server(text: str, number: float) -> None:
    _, payload = HONEST[text]
    for at in range(HEADER_BYTES, min(len(payload) - 4, 60)):
        decoded_or_refused(text, payload[:at] + struct.pack("<f", number) + payload[at + 4 :])
