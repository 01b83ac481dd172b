"""The contract of every compressor, and each formula against an oracle."""

from __future__ import annotations

import math
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from federated.compressors import COMPRESSORS, HEADER_BYTES, Compressor, Layout, PayloadError, Trait
from federated.extension_points.kinds import COMPRESSOR
from tests.conftest import deltas, generators, sent

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """One way of calling a registered compressor, and what it promises.

    content_bytes: P -> bytes behind the header, worked by hand; None where they depend on the numbers. unbiased:
    its mean over draws is the input. exact_zeros: what is zero stays zero. grows: how many times as large as the
    largest coordinate anything decoded can be.
    """

    text: str
    content_bytes: Callable[[int], int] | None = None
    unbiased: bool = False
    stateful: bool = False
    whole_model: bool = False
    exact_zeros: bool = True
    grows: float = 1.6

    def make(self, num_parameters: int) -> Compressor:
        return COMPRESSOR.bind(self.text).build().fitted(layout(num_parameters))


def layout(num_parameters: int) -> Layout:
    """A model of one square matrix and a bias, as large as they can be."""
    side = math.isqrt(num_parameters)
    weight, bias = ("weight", (side, side)), ("bias", (num_parameters - side**2,))
    return (weight, bias) if bias[1][0] else (weight,)


def quantised(p: int, bits: int, bucket: int = 512) -> int:
    return 4 * math.ceil(p / bucket) + math.ceil(p * bits / 8)


def rotated(p: int, bits: int) -> int:
    """P below 4096: a seed, and for each power of two in P (the last 31 or fewer filled up to one) two scales."""
    powers = [1 << at for at in range(5, 12) if p >> at & 1] + (
        [1 << (p % 32 - 1).bit_length()] if p % 32 else []
    )
    return 8 + sum(8 + math.ceil(power * bits / 8) for power in powers)


def square(p: int) -> int:
    return math.isqrt(p) ** 2


CONTRACT = [
    Row("none", lambda p: 4 * p, unbiased=True, whole_model=True),
    Row("float16", lambda p: 2 * p, whole_model=True),
    Row("bfloat16", lambda p: 2 * p, whole_model=True),
    Row("int8", lambda p: 4 + p),
    Row("int8(block_size=7)", lambda p: 4 * math.ceil(p / 7) + p),
    Row("natural", lambda p: p + math.ceil(p / 8), unbiased=True, grows=2),
    Row("terngrad", lambda p: 4 + math.ceil(p / 5), unbiased=True),
    Row("terngrad(clip=2.5)", lambda p: 4 + math.ceil(p / 5)),
    Row("sign", lambda p: 4 + math.ceil(p / 8), exact_zeros=False),
    Row("sign(scale=one)", lambda p: 4 + math.ceil(p / 8), exact_zeros=False, grows=math.inf),
    Row("drive", lambda p: rotated(p, 1), unbiased=True, exact_zeros=False, grows=4),
    Row("drive(unbiased=false)", lambda p: rotated(p, 1), exact_zeros=False, grows=4),
    Row("eden(2)", lambda p: rotated(p, 2), unbiased=True, exact_zeros=False, grows=4),
    Row("eden(1.5)", unbiased=True, exact_zeros=False, grows=4),
    Row("eden(4, unbiased=false)", lambda p: rotated(p, 4), exact_zeros=False, grows=4),
    *(Row(f"qsgd({bits})", lambda p, bits=bits: quantised(p, bits), unbiased=True) for bits in range(2, 9)),
    Row("qsgd(4, norm=l2)", lambda p: quantised(p, 4), unbiased=True),
    Row("qsgd(8, norm=l2)", lambda p: quantised(p, 8), unbiased=True),
    Row("qsgd(3, bucket_size=7)", lambda p: quantised(p, 3, 7), unbiased=True),
    Row("qsgd(5, bucket_size=13, norm=l2)", lambda p: quantised(p, 5, 13), unbiased=True),
    Row("qsgd(2, bucket_size=1)", lambda p: quantised(p, 2, 1), unbiased=True),
    Row("qsgd(4, bucket_size=1000000000)", lambda p: quantised(p, 4, 10**9), unbiased=True),
    Row("top_k(0.01)"),
    Row("top_k(0.5)"),
    Row("top_k(1)", lambda p: 4 * p, unbiased=True),
    Row("block_top_k(0.2, block_size=8)"),
    Row("random_k(0.1)", lambda p: 8 + 4 * math.ceil(p / 10), unbiased=True, grows=10),
    Row("random_k(0.1, unbiased=false)", lambda p: 8 + 4 * math.ceil(p / 10)),
    Row("threshold(0.5)"),
    Row("stc(0.1)"),
    Row("low_rank(1)", stateful=True, exact_zeros=False),
    Row("sketch(0.5, keep=0.1)", lambda p: 4 * 5 * max(math.ceil(p / 2) // 5, 1), grows=5, exact_zeros=False),
    Row("entropy", unbiased=True, whole_model=True),
    Row("chain(top_k(0.1), qsgd(4), entropy)"),
    Row("chain(random_k(0.5), eden(1))", unbiased=True, exact_zeros=False, grows=8),
    Row("chain(qsgd(3), entropy)", unbiased=True),
    Row("chain(natural, entropy)", unbiased=True, grows=2),
    Row("chain(low_rank(1), float16)", stateful=True, exact_zeros=False),
    Row("chain(float16, entropy)", whole_model=True),
    Row(
        "layer_wise(int8)",
        lambda p: 4 + 8 + 4 + square(p) + (4 + 8 + 4 * (p - square(p)) if p > square(p) else 0),
    ),
    Row("layer_wise(qsgd(2))", unbiased=True),
    Row("layer_wise(low_rank(1))", stateful=True, exact_zeros=False),
    Row("error_feedback(none)", lambda p: 4 * p, stateful=True),
    Row("error_feedback(float16)", lambda p: 2 * p, stateful=True),
    Row("error_feedback(top_k(0.1))", stateful=True),
    Row("error_feedback(qsgd(3))", lambda p: quantised(p, 3), stateful=True),
    Row("error_feedback(layer_wise(top_k(0.1)))", stateful=True),
    Row("momentum_correction(error_feedback(top_k(0.1)))", stateful=True),
    Row("difference(qsgd(4))", lambda p: quantised(p, 4), unbiased=True),
    Row("difference(top_k(0.1))"),
]
every_compressor = pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row.text)
SIZES = (1, 2, 3, 17, 100, 513)


def test_every_registered_compressor_has_a_row() -> None:
    assert {row.text.partition("(")[0] for row in CONTRACT} == set(COMPRESSORS)


@every_compressor
@pytest.mark.parametrize("num_clients", [1, 3])
def test_what_is_decoded_has_the_shape_and_type_of_the_updates(row: Row, num_clients: int) -> None:
    for num_parameters in SIZES:
        updates, compressor = deltas(num_clients, num_parameters), row.make(num_parameters)
        state = compressor.init(num_clients, num_parameters)
        payloads, _ = compressor.encode(state, updates, generators(num_clients))
        assert [type(payload) for payload in payloads] == [bytes] * num_clients, num_parameters
        decoded = compressor.decode(payloads, num_parameters)
        assert decoded.dtype == torch.float32, num_parameters
        assert decoded.shape == updates.shape, num_parameters
        assert torch.isfinite(decoded).all(), num_parameters


@pytest.mark.parametrize("row", [row for row in CONTRACT if row.content_bytes], ids=lambda row: row.text)
def test_a_payload_has_exactly_the_bytes_worked_by_hand(row: Row) -> None:
    assert row.content_bytes is not None
    for num_parameters in (*SIZES, 512, 1000):
        updates, compressor = deltas(2, num_parameters), row.make(num_parameters)
        payloads, _ = compressor.encode(compressor.init(2, num_parameters), updates, generators(2))
        expected = 8 + row.content_bytes(num_parameters)
        assert [len(payload) for payload in payloads] == [expected] * 2, num_parameters


def test_some_payloads_in_plain_numbers() -> None:
    """P = 100: 400, 200 and 104 bytes; 50 codes of 4 bits and a norm; each with a header of 8."""
    expected = {"none": 408, "float16": 208, "int8": 112, "qsgd(4)": 62, "qsgd(3, bucket_size=7)": 106}
    for text, size in expected.items():
        compressor = COMPRESSOR.bind(text).build()
        (payload,), _ = compressor.encode({}, deltas(1, 100), generators(1))
        assert len(payload) == size
    assert HEADER_BYTES == 8


@every_compressor
def test_the_bytes_alone_are_enough_to_decode(row: Row) -> None:
    updates = deltas(3, 100)
    compressor = row.make(100)
    payloads, _ = compressor.encode(compressor.init(3, 100), updates, generators(3))
    alone = [row.make(100).decode([bytes(bytearray(payload))], 100)[0] for payload in payloads]
    assert torch.equal(torch.stack(alone), compressor.decode(payloads, 100))


@pytest.mark.slow
def test_another_process_decodes_the_same_numbers() -> None:
    payloads = []
    for row in CONTRACT:
        compressor = row.make(100)
        payloads += compressor.encode(compressor.init(1, 100), deltas(1, 100), generators(1))[0]
    code = (
        "import pickle, sys; from federated.extension_points.kinds import COMPRESSOR;"
        "rows = pickle.load(sys.stdin.buffer);"
        "out = [COMPRESSOR.bind(text).build().fitted(layout).decode([payload], 100).numpy().tobytes()"
        " for text, payload, layout in rows];"
        "sys.stdout.buffer.write(pickle.dumps(out))"
    )
    rows = pickle.dumps(
        [(row.text, payload, layout(100)) for row, payload in zip(CONTRACT, payloads, strict=True)]
    )
    there = pickle.loads(
        subprocess.run(
            [sys.executable, "-c", code], input=rows, capture_output=True, check=True, cwd=ROOT
        ).stdout
    )
    here = [
        row.make(100).decode([payload], 100).numpy().tobytes()
        for row, payload in zip(CONTRACT, payloads, strict=True)
    ]
    assert there == here


@every_compressor
def test_zero_in_is_zero_out(row: Row) -> None:
    for num_parameters in SIZES:
        nothing = torch.zeros(2, num_parameters)
        assert torch.equal(sent(row.make(num_parameters), nothing), nothing)


@every_compressor
def test_encoding_changes_none_of_its_arguments_and_can_be_repeated(row: Row) -> None:
    compressor, updates = row.make(40), deltas(3, 40)
    _, state = compressor.encode(compressor.init(3, 40), deltas(3, 40, seed=9), generators(3, 9))
    kept, before = {name: value.clone() for name, value in state.items()}, updates.clone()
    first, after_first = compressor.encode(state, updates, generators(3))
    second, after_second = compressor.encode(state, updates, generators(3))
    assert first == second
    assert torch.equal(updates, before)
    assert state.keys() == kept.keys() == after_first.keys() == after_second.keys()
    for name, value in kept.items():
        assert torch.equal(state[name], value)
        assert torch.equal(after_first[name], after_second[name])


@every_compressor
def test_a_client_sends_the_same_whoever_else_is_in_the_cohort(row: Row) -> None:
    compressor, updates = row.make(60), deltas(4, 60)
    _, state = compressor.encode(compressor.init(4, 60), deltas(4, 60, seed=1), generators(4, 1))
    together, after = compressor.encode(state, updates, generators(4))
    for client in (2, 0):
        own = {name: value[client : client + 1] for name, value in state.items()}
        (alone,), after_alone = compressor.encode(own, updates[client : client + 1], [generators(4)[client]])
        assert alone == together[client]
        for name, value in after_alone.items():
            assert torch.equal(value[0], after[name][client])


@every_compressor
def test_state_has_a_row_a_client_or_nothing_at_all(row: Row) -> None:
    state = row.make(25).init(3, 25)
    assert bool(state) == row.stateful
    assert all(len(value) == 3 and not value.any() for value in state.values())


@every_compressor
def test_only_a_compressor_that_keeps_every_coordinate_may_carry_a_whole_model(row: Row) -> None:
    assert (Trait.WHOLE_MODEL in row.make(200).traits) == row.whole_model
    if row.whole_model:
        updates = deltas(1, 200)
        assert torch.allclose(sent(row.make(200), updates), updates, rtol=2**-8, atol=2**-25)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in CONTRACT if row.unbiased], ids=lambda row: row.text)
def test_unbiased_compressors_are_unbiased(row: Row) -> None:
    """The mean of many draws lies within 5 standard errors of the input, coordinate by coordinate."""
    draws = 1000
    update = deltas(1, 30, seed=3)
    many = sent(row.make(30), update.expand(draws, -1).contiguous(), seed=8).double()
    error = many.std(dim=0) / math.sqrt(draws)
    # A coordinate far below one level is rounded up so rarely that its error has to come from theory.
    scale = update.abs().max().double() if "l2" not in row.text else update.double().norm()
    least = (update[0].abs().double() * scale).sqrt() / math.sqrt(draws)
    assert torch.all((many.mean(dim=0) - update[0]).abs() <= 5 * torch.maximum(error, least) + 1e-6 * scale)


OUTLIERS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda numbers, p: numbers.standard_normal(p),
    "t of 2": lambda numbers, p: numbers.standard_t(2, p),
    "Cauchy": lambda numbers, p: numbers.standard_cauchy(p),
    "log-normal": lambda numbers, p: np.exp(2 * numbers.standard_normal(p)) * numbers.choice([-1, 1], p),
    "a spike": lambda numbers, p: np.eye(p)[3] + 0.01 * numbers.standard_normal(p),
    "a spike alone": lambda numbers, p: np.eye(p)[3],
    "three spikes": lambda numbers, p: (
        np.eye(p)[[3, p // 2, p - 2]].T @ [1, -2, 1.5] + 0.01 * numbers.standard_normal(p)
    ),
    "a step": lambda numbers, p: 1.0 * (np.arange(p) < p // 50 + 2) + 0.01 * numbers.standard_normal(p),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [33, 1000, *(pytest.param(size, marks=pytest.mark.nightly) for size in (100, 5000))]
)
@pytest.mark.parametrize("row", [row for row in CONTRACT if row.unbiased], ids=lambda row: row.text)
def test_next_to_nothing_of_what_unbiased_compressors_lose_is_bias(row: Row, size: int) -> None:
    """The squared bias is the mean product of the errors of two draws, whatever the update: by 60 draws of one."""
    draws = 60
    for kind, drawn in OUTLIERS.items():
        update = torch.from_numpy(drawn(np.random.default_rng(5), size).astype(np.float32))[None]
        errors = (sent(row.make(size), update.expand(draws, -1).contiguous(), seed=8) - update).double()
        squared = float(errors.square().sum()) / draws
        if squared <= 1e-10 * float(update.double().square().sum()):
            continue  # sent as it is
        products = (errors[::2] * errors[1::2]).sum(dim=1).numpy()  # of pairs that share no draw
        assert products.mean() <= 0.02 * squared + 5 * stats.sem(products), kind


@every_compressor
def test_a_payload_of_any_other_length_is_refused(row: Row) -> None:
    compressor = row.make(40)
    (payload,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    compressor.decode([payload], 40)
    for length in range(len(payload)):
        with pytest.raises(PayloadError):
            compressor.decode([payload[:length]], 40)
    for longer in (payload + b"\0", payload + b"\0" * 6, payload * 2):
        with pytest.raises(PayloadError):
            compressor.decode([longer], 40)


@every_compressor
def test_a_payload_for_another_model_is_refused(row: Row) -> None:
    compressor = row.make(40)
    (payload,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    for num_parameters in (1, 39, 41, 65_537):
        with pytest.raises(
            PayloadError, match=f"payload is for 40 parameters, the model has {num_parameters}"
        ):
            compressor.decode([payload], num_parameters)


@every_compressor
def test_a_payload_of_another_compressor_is_refused(row: Row) -> None:
    compressor = row.make(40)
    (own,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    for tag in (b"-f4-", b"-f2-", b"tf4-", b"-qs-", b"-qse", b"layr", b"\0\0\0\0"):
        if tag != own[:4]:
            with pytest.raises(PayloadError, match="payload starts with"):
                compressor.decode([tag + own[4:]], 40)


@every_compressor
def test_one_bad_payload_among_good_ones_is_refused(row: Row) -> None:
    compressor = row.make(40)
    payloads, _ = compressor.encode(compressor.init(2, 40), deltas(2, 40), generators(2))
    with pytest.raises(PayloadError):
        compressor.decode([payloads[0], b""], 40)


@every_compressor
def test_random_bytes_are_refused_or_decoded_and_nothing_else_happens(row: Row) -> None:
    """With the right header or a wrong one; never another error, never the wrong shape."""
    compressor, numbers = row.make(40), np.random.default_rng(0)
    (good,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    refused = 0
    for _ in range(300):
        content = numbers.bytes(int(numbers.integers(0, 2 * len(good))))
        same_length = numbers.bytes(len(good) - HEADER_BYTES)
        for payload in (content, good[:HEADER_BYTES] + content, good[:HEADER_BYTES] + same_length):
            try:
                assert compressor.decode([payload], 40).shape == (1, 40)
            except PayloadError:
                refused += 1
    assert refused >= 300


@every_compressor
def test_a_payload_that_claims_to_be_huge_allocates_nothing(row: Row) -> None:
    compressor = row.make(40)
    (payload,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    hostile = payload[:4] + struct.pack("<I", 2**32 - 1) + payload[8:]
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="payload is for 4294967295 parameters"):
            compressor.decode([hostile], 40)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@every_compressor
def test_huge_and_denormal_updates_stay_finite_and_as_large_as_they_were(row: Row) -> None:
    """Nothing overflows, and no coordinate gets larger than the norm it was scaled by, however extreme."""
    for size, seed in product([3.4028235e38, 1e30, 1e-30, 1.2e-38, 1e-45], range(5)):
        updates = torch.tensor([[size, -size, 0.0, size / 2]], dtype=torch.float32)
        decoded = sent(row.make(4), updates, seed).double()
        assert torch.isfinite(decoded).all(), size
        assert float(decoded.abs().max()) <= row.grows * size * (1 + 1e-6) + 1e-45, size
        assert decoded[0, 2] == 0 or not row.exact_zeros, size
