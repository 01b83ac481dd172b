"""Positions as bytes: every form by hand, close to the entropy of a random choice, and hostile ones refused."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.compressors.coding.bits import pack, packed_bytes, unpack
from federated.compressors.coding.payload import PayloadError
from federated.compressors.coding.positions import decode_positions, encode_positions


def chosen(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(size, count, replace=False))


@given(st.data())
def test_any_positions_come_back(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70_000))
    some = data.draw(st.sets(st.integers(0, size - 1), max_size=60))
    positions = np.array(sorted(some), np.int64)
    found, rest = decode_positions(
        memoryview(encode_positions(positions, size) + b"rest"), len(positions), size
    )
    assert found.tolist() == positions.tolist()
    assert bytes(rest) == b"rest"


@pytest.mark.parametrize("size", [2**16, 2**16 + 1, 2**21])
@pytest.mark.parametrize("share", [1e-4, 0.01, 0.1, 0.5, 0.9, 1])
def test_many_positions_come_back(size: int, share: float) -> None:
    positions = chosen(int(share * size), size)
    found, _ = decode_positions(memoryview(encode_positions(positions, size)), positions.size, size)
    assert np.array_equal(found, positions)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.5])
def test_a_random_choice_costs_its_entropy_and_little_more(share: float) -> None:
    """Of P positions, a share p each: H(p) bits a position of the model. Rice codes lose at most 4 % of it."""
    size = 2**20
    positions = chosen(int(share * size), size)
    entropy = -(share * math.log2(share) + (1 - share) * math.log2(1 - share)) * size / 8
    assert entropy <= len(encode_positions(positions, size)) <= 1.04 * entropy


def test_rice_code_by_hand() -> None:
    """Positions 2, 9, 10, 11, 12, 13 of 16, l = 0: the bitmap 00100000 01111100."""
    coded = encode_positions(np.array([2, 9, 10, 11, 12, 13]), 16)
    assert coded == struct.pack("<BI", 0, 2) + bytes([0b00100000, 0b01111100])


def test_low_bits_by_hand() -> None:
    """Gaps 5, 2, 9 with l = 2: low bits 01 10 01, then 1 zero, 0, 2 zeros before ones: 01 1 001."""
    content = struct.pack("<BI", 2, 1) + bytes([0b01100100, 0b01100100])
    positions, _ = decode_positions(memoryview(content), 3, 100)
    assert positions.tolist() == [5, 8, 18]


def test_nothing_is_sent_where_all_or_none_travel() -> None:
    assert encode_positions(np.arange(7), 7) == encode_positions(np.arange(0), 7) == b""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<BI", 32, 1) + bytes(20),
        struct.pack("<BI", 0, 2**32 - 1) + bytes(20),
        struct.pack("<BI", 0, 2) + bytes([0, 0]),
        struct.pack("<BI", 0, 2) + bytes([0b11100000, 0]),
        struct.pack("<BI", 0, 2) + bytes([0, 0b11110000]),
        struct.pack("<BI", 3, 1) + bytes([0xFF, 0xFF, 0b11100000]),
        struct.pack("<B3H", 255, 3, 2, 1),
        struct.pack("<B3H", 255, 1, 2, 16),
    ],
)
def test_what_no_encoder_writes_is_refused(content: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_positions(memoryview(content), 3, 16)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_codes_are_a_stream_of_bits(bits: int, count: int) -> None:
    """Against Python's own integers, written in base two."""
    codes = np.random.default_rng(bits).integers(2**bits, size=count, dtype=np.uint8)
    stream = "".join(f"{code:0{bits}b}" for code in codes).ljust(8 * packed_bytes(count, bits), "0")
    packed = pack(codes, bits)
    assert packed == bytes(int(stream[at : at + 8], 2) for at in range(0, len(stream), 8))
    assert np.array_equal(unpack(memoryview(packed), bits, count), codes)
