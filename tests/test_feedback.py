"""Error feedback and momentum correction: what is lost comes later, exactly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from federated.compressors import COMPRESSORS, CohortState, Compressor
from federated.extension_points.kinds import COMPRESSOR
from tests.conftest import codec, deltas, generators, normal, sent


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


@pytest.mark.parametrize(
    "inner",
    [
        *(
            "float16",
            "int8",
            "natural",
            "qsgd(2)",
            "qsgd(4)",
            "terngrad",
            "terngrad(clip=2.5)",
            "sign",
            "drive",
        ),
        *("eden(2)", "top_k(0.01)", "block_top_k(0.05)", "random_k(0.05, unbiased=false)", "threshold(0.1)"),
        *(
            "stc(0.01)",
            "low_rank(2)",
            "sketch(0.1)",
            "sketch(0.2, rows=3)",
            "chain(top_k(0.1), qsgd(2), entropy)",
        ),
        *("chain(random_k(0.1, unbiased=false), drive)", "layer_wise(qsgd(2))"),
    ],
)
@pytest.mark.parametrize("heavy", [0.0, 1.0])
def test_what_is_kept_back_never_outgrows_what_came_in(inner: str, heavy: float) -> None:
    """A compressor that adds more than it sends would double its residual every few rounds, to infinity."""
    size, rounds = 4096, 60
    compressor = codec(f"error_feedback({inner})").fitted((("weight", (64, 64)),))
    state = compressor.init(1, size)
    for done in range(rounds):
        update = normal(1, size, seed=done) * torch.exp(heavy * normal(1, size, seed=1000 + done))
        _, state = compressor.encode(state, update / update.norm(), generators(1, done))
    assert float(state["residual"].norm()) <= rounds


# momentum correction


def test_momentum_correction_is_eq_6_of_the_paper() -> None:
    """u = m u + g, v = v + u, send the largest of v, and both start again at zero there; in plain numpy-like steps."""
    momentum, size, k = 0.9, 40, 4
    compressor = codec("momentum_correction(error_feedback(top_k(0.1)), momentum=0.9)")
    state, u, v = compressor.init(1, size), torch.zeros(size), torch.zeros(size)
    for done in range(8):
        update = normal(1, size, seed=done)
        u = momentum * u + update[0]
        v = v + u
        largest = v.abs().argsort(descending=True)[:k]
        expected = torch.zeros(size)
        expected[largest] = v[largest]
        u[largest] = v[largest] = 0
        payloads, state = compressor.encode(state, update, generators(1, done))
        assert torch.allclose(compressor.decode(payloads, size)[0], expected, atol=1e-6)
        assert torch.allclose(state["momentum"][0], u, atol=1e-6)
        assert torch.allclose(state["inner.residual"][0], v, atol=1e-6)


@pytest.mark.parametrize("inner", ["top_k(0.1)", "none", "momentum_correction(error_feedback(top_k(0.1)))"])
def test_momentum_correction_needs_error_feedback_and_only_once(inner: str) -> None:
    with pytest.raises(ValueError, match="momentum_correction: inner must be error_feedback"):
        codec(f"momentum_correction({inner})")


@pytest.mark.parametrize("momentum", [0, 1, -0.5])
def test_momentum_out_of_range_is_refused(momentum: float) -> None:
    with pytest.raises(ValueError, match=f"momentum must be between 0 and 1, got {momentum}"):
        codec(f"momentum_correction(error_feedback(none), momentum={momentum})")


# layer by layer


def test_layer_wise_is_each_matrix_on_its_own_and_the_rest_whole() -> None:
    layout = (("a.weight", (4, 5)), ("a.bias", (4,)), ("b.weight", (2, 3, 5)), ("b.bias", (2,)))
    updates = normal(3, 56)
    updates[:, :20] *= 100
    decoded = sent(codec("layer_wise(top_k(0.1))").fitted(layout), updates)
    assert torch.equal(decoded[:, 20:24], updates[:, 20:24])
    assert torch.equal(decoded[:, 54:], updates[:, 54:])
    for place in (slice(0, 20), slice(24, 54)):
        assert torch.equal(decoded[:, place], sent(codec("top_k(0.1)"), updates[:, place]))


def test_layers_draw_numbers_of_their_own() -> None:
    layout = (("a", (20, 20)), ("b", (20, 20)))
    update = normal(1, 400).repeat(1, 2)
    decoded = sent(codec("layer_wise(qsgd(2))").fitted(layout), update)
    assert not torch.equal(decoded[:, :400], decoded[:, 400:])


def test_layer_wise_error_feedback_conserves() -> None:
    layout = (("w", (6, 6)), ("bias", (6,)))
    compressor = codec("error_feedback(layer_wise(low_rank(1)))").fitted(layout)
    state = compressor.init(2, 42)
    for done in range(4):
        updates, before = normal(2, 42, seed=done), state["residual"]
        payloads, state = compressor.encode(state, updates, generators(2, done))
        received = compressor.decode(payloads, 42)
        assert torch.allclose(received + state["residual"], updates + before, atol=1e-5)
        assert not state["residual"][:, 36:].any()
