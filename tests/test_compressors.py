"""The contract of every compressor, and each formula against an oracle."""

from __future__ import annotations

import math
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.compressors import COMPRESSORS, HEADER_BYTES, CohortState, Compressor, PayloadError
from federated.kinds import COMPRESSOR

ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """One way of calling a registered compressor, and what it promises.

    content_bytes: P -> bytes behind the header, worked by hand. unbiased: its mean over draws is the input.
    """

    text: str
    content_bytes: Callable[[int], int]
    unbiased: bool = False
    stateful: bool = False
    whole_model: bool = False

    def make(self) -> Compressor:
        return COMPRESSOR.bind(self.text).build()


CONTRACT = [
    Row("none", lambda p: 4 * p, unbiased=True, whole_model=True),
    Row("float16", lambda p: 2 * p, whole_model=True),
    Row("top_k(0.01)", lambda p: math.ceil(p / 100) * 6),
    Row("top_k(0.07)", lambda p: math.ceil(p * 7 / 100) * 6),
    Row("top_k(0.5)", lambda p: math.ceil(p / 2) * 6),
    Row("top_k(1)", lambda p: p * 6, unbiased=True),
    *(
        Row(
            f"qsgd({bits})",
            lambda p, bits=bits: 4 * math.ceil(p / 512) + math.ceil(p * bits / 8),
            unbiased=True,
        )
        for bits in range(2, 9)
    ),
    Row("qsgd(4, norm=l2)", lambda p: 4 * math.ceil(p / 512) + math.ceil(p / 2), unbiased=True),
    Row("qsgd(8, norm=l2)", lambda p: 4 * math.ceil(p / 512) + p, unbiased=True),
    Row("qsgd(3, bucket_size=7)", lambda p: 4 * math.ceil(p / 7) + math.ceil(p * 3 / 8), unbiased=True),
    Row(
        "qsgd(5, bucket_size=13, norm=l2)",
        lambda p: 4 * math.ceil(p / 13) + math.ceil(p * 5 / 8),
        unbiased=True,
    ),
    Row("qsgd(2, bucket_size=1)", lambda p: 4 * p + math.ceil(p / 4), unbiased=True),
    Row("qsgd(4, bucket_size=1000000000)", lambda p: 4 + math.ceil(p / 2), unbiased=True),
    Row("error_feedback(none)", lambda p: 4 * p, stateful=True),
    Row("error_feedback(float16)", lambda p: 2 * p, stateful=True),
    Row("error_feedback(top_k(0.1))", lambda p: math.ceil(p / 10) * 6, stateful=True),
    Row("error_feedback(qsgd(3))", lambda p: 4 * math.ceil(p / 512) + math.ceil(p * 3 / 8), stateful=True),
]
every_compressor = pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row.text)
SIZES = (1, 2, 3, 17, 100, 513)


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, client]) for client in range(count)]


def deltas(num_clients: int, num_parameters: int, seed: int = 0) -> Tensor:
    """Updates whose magnitudes differ by orders, with exact zeros among them."""
    numbers = np.random.default_rng([seed, num_clients, num_parameters])
    rows = numbers.standard_normal((num_clients, num_parameters)) * 10 ** numbers.uniform(
        -4, 1, num_parameters
    )
    rows[numbers.random(rows.shape) < 0.1] = 0
    return torch.from_numpy(rows.astype(np.float32))


def sent(compressor: Compressor, updates: Tensor, seed: int = 0, state: CohortState | None = None) -> Tensor:
    """What the server reads of these updates."""
    state = compressor.init(*updates.shape) if state is None else state
    payloads, _ = compressor.encode(state, updates, generators(len(updates), seed))
    return compressor.decode(payloads, updates.shape[1])


def test_every_registered_compressor_has_a_row() -> None:
    assert {row.text.partition("(")[0] for row in CONTRACT} == set(COMPRESSORS)


@every_compressor
@pytest.mark.parametrize("num_parameters", SIZES)
@pytest.mark.parametrize("num_clients", [1, 3])
def test_what_is_decoded_has_the_shape_and_type_of_the_updates(
    row: Row, num_clients: int, num_parameters: int
) -> None:
    updates = deltas(num_clients, num_parameters)
    compressor = row.make()
    payloads, _ = compressor.encode(
        compressor.init(num_clients, num_parameters), updates, generators(num_clients)
    )
    assert [type(payload) for payload in payloads] == [bytes] * num_clients
    decoded = compressor.decode(payloads, num_parameters)
    assert decoded.dtype == torch.float32
    assert decoded.shape == updates.shape
    assert torch.isfinite(decoded).all()


@every_compressor
@pytest.mark.parametrize("num_parameters", [*SIZES, 512, 1000])
def test_a_payload_has_exactly_the_bytes_worked_by_hand(row: Row, num_parameters: int) -> None:
    updates = deltas(2, num_parameters)
    payloads, _ = row.make().encode(row.make().init(2, num_parameters), updates, generators(2))
    assert [len(payload) for payload in payloads] == [8 + row.content_bytes(num_parameters)] * 2


def test_some_payloads_in_plain_numbers() -> None:
    """P = 100: 400 and 200 bytes; 7 x 6; 50 codes of 4 bits and a norm; each with a header of 8."""
    expected = {"none": 408, "float16": 208, "top_k(0.07)": 50, "qsgd(4)": 62, "qsgd(3, bucket_size=7)": 106}
    for text, size in expected.items():
        compressor = COMPRESSOR.bind(text).build()
        (payload,), _ = compressor.encode({}, deltas(1, 100), generators(1))
        assert len(payload) == size
    assert HEADER_BYTES == 8


@every_compressor
def test_the_bytes_alone_are_enough_to_decode(row: Row) -> None:
    updates = deltas(3, 100)
    compressor = row.make()
    payloads, _ = compressor.encode(compressor.init(3, 100), updates, generators(3))
    alone = [row.make().decode([bytes(bytearray(payload))], 100)[0] for payload in payloads]
    assert torch.equal(torch.stack(alone), compressor.decode(payloads, 100))


def test_another_process_decodes_the_same_numbers() -> None:
    payloads = []
    for row in CONTRACT:
        compressor = row.make()
        payloads += compressor.encode(compressor.init(1, 100), deltas(1, 100), generators(1))[0]
    code = (
        "import pickle, sys; from federated.kinds import COMPRESSOR;"
        "rows = pickle.load(sys.stdin.buffer);"
        "out = [COMPRESSOR.bind(text).build().decode([payload], 100).numpy().tobytes() for text, payload in rows];"
        "sys.stdout.buffer.write(pickle.dumps(out))"
    )
    rows = pickle.dumps([(row.text, payload) for row, payload in zip(CONTRACT, payloads, strict=True)])
    there = pickle.loads(
        subprocess.run(
            [sys.executable, "-c", code], input=rows, capture_output=True, check=True, cwd=ROOT
        ).stdout
    )
    here = [
        row.make().decode([payload], 100).numpy().tobytes()
        for row, payload in zip(CONTRACT, payloads, strict=True)
    ]
    assert there == here


@every_compressor
def test_zero_in_is_zero_out(row: Row) -> None:
    for num_parameters in SIZES:
        assert torch.equal(sent(row.make(), torch.zeros(2, num_parameters)), torch.zeros(2, num_parameters))


@every_compressor
def test_encoding_changes_none_of_its_arguments_and_can_be_repeated(row: Row) -> None:
    compressor, updates = row.make(), deltas(3, 40)
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
    compressor, updates = row.make(), deltas(4, 60)
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
    state = row.make().init(3, 5)
    assert bool(state) == row.stateful
    assert all(len(value) == 3 and not value.any() for value in state.values())


@every_compressor
def test_only_a_compressor_that_keeps_every_coordinate_may_carry_a_whole_model(row: Row) -> None:
    assert row.make().whole_model == row.whole_model
    if row.whole_model:
        updates = deltas(1, 200)
        assert torch.allclose(sent(row.make(), updates), updates, rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("row", [row for row in CONTRACT if row.unbiased], ids=lambda row: row.text)
def test_unbiased_compressors_are_unbiased(row: Row) -> None:
    """The mean of many draws lies within 5 standard errors of the input, coordinate by coordinate."""
    draws = 3000
    update = deltas(1, 30, seed=3)
    many = sent(row.make(), update.expand(draws, -1).contiguous(), seed=8).double()
    error = many.std(dim=0) / math.sqrt(draws)
    # A coordinate far below one level is rounded up so rarely that its error has to come from theory.
    scale = update.abs().max().double() if "l2" not in row.text else update.double().norm()
    least = (update[0].abs().double() * scale).sqrt() / math.sqrt(draws)
    assert torch.all((many.mean(dim=0) - update[0]).abs() <= 5 * torch.maximum(error, least) + 1e-6 * scale)


# none and float16


def test_none_sends_every_bit() -> None:
    updates = torch.tensor([[1e-45, -0.0, 3.4028235e38, -1.1754944e-38, math.pi]])
    assert sent(COMPRESSORS["none"](), updates).numpy().tobytes() == updates.numpy().tobytes()


def test_float16_rounds_as_torch_does_and_clamps_what_is_too_large() -> None:
    updates = deltas(2, 500)
    assert torch.equal(sent(COMPRESSORS["float16"](), updates), updates.half().float())
    huge = torch.tensor([[1e38, -1e38, 65504.0, 65519.0, 65520.0, 1e-45, 6e-8]])
    assert sent(COMPRESSORS["float16"](), huge).tolist() == [[65504, -65504, 65504, 65504, 65504, 0, 2**-24]]


# top_k


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


@pytest.mark.parametrize(("num_parameters", "position_bytes"), [(65_536, 2), (65_537, 4)])
def test_top_k_reaches_the_last_position_on_both_sides_of_two_byte_positions(
    num_parameters: int, position_bytes: int
) -> None:
    updates = torch.zeros(1, num_parameters)
    updates[0, [0, 256, num_parameters - 2, num_parameters - 1]] = torch.tensor([1.0, -2.0, 3.0, -4.0])
    compressor = COMPRESSORS["top_k"](4 / num_parameters)
    payloads, _ = compressor.encode({}, updates, generators(1))
    assert len(payloads[0]) == 8 + 4 * (position_bytes + 4)
    assert torch.equal(compressor.decode(payloads, num_parameters), updates)


def test_top_k_payload_byte_by_byte() -> None:
    compressor = COMPRESSORS["top_k"](0.4)
    payloads, _ = compressor.encode({}, torch.tensor([[0.5, -3.0, 0.0, 2.0, 1.0]]), generators(1))
    assert payloads == [b"topk" + struct.pack("<I2H2f", 5, 1, 3, -3.0, 2.0)]


# qsgd


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
    assert payload == b"qsgd" + struct.pack("<If", 5, 2.0) + bytes([0b11001100, 0b00111100])


def test_qsgd_draws_from_each_clients_own_generator() -> None:
    updates = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]]).expand(2, -1).contiguous()
    compressor = COMPRESSORS["qsgd"](2)
    one, other = generators(2)
    assert compressor.encode({}, updates, [one, other])[0] == compressor.encode({}, updates, generators(2))[0]
    assert len(set(compressor.encode({}, updates, generators(2))[0])) == 2


# error feedback


@pytest.mark.parametrize("inner", ["top_k(0.1)", "qsgd(3)", "float16", "none", "top_k(1)"])
def test_error_feedback_conserves(inner: str) -> None:
    """Sent + residual = input + residual before, in every round."""
    compressor = COMPRESSOR.bind(f"error_feedback({inner})").build()
    state = compressor.init(3, 50)
    for done in range(6):
        updates, before = deltas(3, 50, seed=done), state["residual"]
        payloads, state = compressor.encode(state, updates, generators(3, done))
        decoded = compressor.decode(payloads, 50)
        assert torch.allclose(
            decoded.double() + state["residual"], updates.double() + before, rtol=0, atol=1e-5
        )
        if inner.startswith("top_k"):  # what is kept is not rounded
            assert torch.equal(decoded + state["residual"], updates + before)
        if inner in ("none", "top_k(1)"):
            assert not state["residual"].any()


def test_error_feedback_sends_in_the_end_all_that_came_in() -> None:
    compressor = COMPRESSOR.bind("error_feedback(top_k(0.1))").build()
    update, state, total = deltas(1, 50), compressor.init(1, 50), torch.zeros(1, 50)
    for done in range(200):
        payloads, state = compressor.encode(
            state, update if done == 0 else torch.zeros(1, 50), generators(1, done)
        )
        total += compressor.decode(payloads, 50)
    assert torch.equal(total, update)
    assert not state["residual"].any()


def test_error_feedback_of_error_feedback_would_count_every_loss_twice_and_is_refused() -> None:
    with pytest.raises(ValueError, match="error_feedback: inner must not be error_feedback itself"):
        COMPRESSOR.bind("error_feedback(error_feedback(top_k(0.25)))")


def test_error_feedback_keeps_what_its_inner_compressor_remembers() -> None:
    """An inner compressor that counts its own turns goes on counting."""

    def encode(state: CohortState, updates: Tensor, _: object) -> tuple[list[bytes], CohortState]:
        turns = state["turns"] + 1
        return [bytes([int(turn)]) for turn in turns], {"turns": turns}

    counting = Compressor(
        init=lambda clients, _: {"turns": torch.zeros(clients)},
        encode=encode,
        decode=lambda payloads, size: torch.tensor([[float(payload[0])] * size for payload in payloads]),
    )
    compressor = COMPRESSORS["error_feedback"](counting)
    state = compressor.init(1, 2)
    for turn in (1, 2, 3):
        payloads, state = compressor.encode(state, torch.zeros(1, 2), generators(1))
        assert payloads == [bytes([turn])]
    assert state["residual"].tolist() == [[-6.0, -6.0]]


def test_error_feedback_worked_by_hand() -> None:
    compressor = COMPRESSOR.bind("error_feedback(top_k(0.5))").build()
    state = compressor.init(1, 2)
    payloads, state = compressor.encode(state, torch.tensor([[3.0, 2.0]]), generators(1))
    assert compressor.decode(payloads, 2).tolist() == [[3.0, 0.0]]
    assert state["residual"].tolist() == [[0.0, 2.0]]
    payloads, state = compressor.encode(state, torch.tensor([[3.0, 2.0]]), generators(1))
    assert compressor.decode(payloads, 2).tolist() == [[0.0, 4.0]]
    assert state["residual"].tolist() == [[3.0, 0.0]]


def test_error_feedback_is_exact_under_partial_participation() -> None:
    """Each client on its own: all it sent plus what it still holds is all it put in, whoever else took part."""
    compressor = COMPRESSOR.bind("error_feedback(top_k(0.2))").build()
    clients, size = 4, 20
    residual = compressor.init(clients, size)["residual"]
    put_in, got_out = torch.zeros(clients, size), torch.zeros(clients, size)
    for done, cohort in enumerate([[0, 1], [1, 3], [3], [0, 1, 3], [1]]):
        updates = (deltas(len(cohort), size, seed=done) * 2**10).round() / 2**10  # sums are exact
        payloads, after = compressor.encode(
            {"residual": residual[cohort]}, updates, generators(len(cohort), done)
        )
        residual[cohort] = after["residual"]
        put_in[cohort] += updates
        got_out[cohort] += compressor.decode(payloads, size)
    assert torch.equal(got_out + residual, put_in)
    assert not residual[2].any()


# hostile and extreme


@every_compressor
def test_a_payload_of_any_other_length_is_refused(row: Row) -> None:
    compressor = row.make()
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
    compressor = row.make()
    (payload,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    for num_parameters in (1, 39, 41, 65_537):
        with pytest.raises(
            PayloadError, match=f"payload is for 40 parameters, the model has {num_parameters}"
        ):
            compressor.decode([payload], num_parameters)


@every_compressor
def test_a_payload_of_another_compressor_is_refused(row: Row) -> None:
    compressor = row.make()
    (own,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    for tag in (b"f32 ", b"f16 ", b"topk", b"qsgd", b"\0\0\0\0"):
        if tag != own[:4]:
            with pytest.raises(PayloadError, match="payload starts with"):
                compressor.decode([tag + own[4:]], 40)


@every_compressor
def test_one_bad_payload_among_good_ones_is_refused(row: Row) -> None:
    compressor = row.make()
    payloads, _ = compressor.encode(compressor.init(2, 40), deltas(2, 40), generators(2))
    with pytest.raises(PayloadError):
        compressor.decode([payloads[0], b""], 40)


@every_compressor
def test_random_bytes_are_refused_or_decoded_and_nothing_else_happens(row: Row) -> None:
    """With the right header or a wrong one; never another error, never the wrong shape."""
    compressor, numbers = row.make(), np.random.default_rng(0)
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
    compressor = row.make()
    (payload,), _ = compressor.encode(compressor.init(1, 40), deltas(1, 40), generators(1))
    hostile = payload[:4] + struct.pack("<I", 2**32 - 1) + payload[8:]
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="payload is for 4294967295 parameters"):
            compressor.decode([hostile], 40)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("positions", [(3, 1), (1, 1), (1, 5), (0, 65_535), (4, 4)])
def test_top_k_refuses_positions_that_do_not_rise_within_the_model(positions: tuple[int, int]) -> None:
    payload = b"topk" + struct.pack("<I2H2f", 5, *positions, 1.0, 2.0)
    with pytest.raises(PayloadError, match="positions do not rise strictly below 5"):
        COMPRESSORS["top_k"](0.4).decode([payload], 5)


@pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
def test_qsgd_refuses_norms_that_no_encoder_writes(norm: float) -> None:
    payload = b"qsgd" + struct.pack("<If", 2, norm) + bytes([0b01_10_0000])
    with pytest.raises(PayloadError, match="a code or a norm that no encoder writes"):
        COMPRESSORS["qsgd"](2).decode([payload], 2)


@pytest.mark.parametrize("bits", range(2, 9))
def test_qsgd_refuses_the_one_code_that_stands_for_nothing(bits: int) -> None:
    payload = b"qsgd" + struct.pack("<If", 8, 1.0) + b"\xff" * bits
    with pytest.raises(PayloadError, match="a code or a norm that no encoder writes"):
        COMPRESSORS["qsgd"](bits).decode([payload], 8)


@every_compressor
@pytest.mark.parametrize("size", [3.4028235e38, 1e30, 1e-30, 1.2e-38, 1e-45])
def test_huge_and_denormal_updates_stay_finite_and_as_large_as_they_were(row: Row, size: float) -> None:
    """Nothing overflows, and no coordinate gets larger than the norm it was scaled by, however extreme."""
    updates = torch.tensor([[size, -size, 0.0, size / 2]], dtype=torch.float32)
    for seed in range(5):
        decoded = sent(row.make(), updates, seed).double()
        assert torch.isfinite(decoded).all()
        assert float(decoded.abs().max()) <= 1.6 * size * (1 + 1e-6) + 1e-45
        assert decoded[0, 2] == 0


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


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, math.nan])
def test_top_k_refuses_other_fractions(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\], got {fraction}"):
        COMPRESSORS["top_k"](fraction)


def test_qsgd_refuses_other_bits_and_buckets() -> None:
    for bits in (1, 9, 0, -4):
        with pytest.raises(ValueError, match=f"bits must be between 2 and 8, got {bits}"):
            COMPRESSORS["qsgd"](bits)
    with pytest.raises(ValueError, match="bucket_size must be at least 1, got 0"):
        COMPRESSORS["qsgd"](4, bucket_size=0)
