"""What lossy ways do to updates and models, worked by hand and over rounds."""

from __future__ import annotations

import math

import pytest
import torch

from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train
from federated.wire.distortion import bias_share, distortion, distortion_metrics, downlink_distortion
from federated.wire.downlink import broadcast
from tests.conftest import codec, config_of, normal, sent


def test_measures_are_worked_by_hand() -> None:
    """(3, 4) decoded as (3, 0): 16/25 is lost, the cosine is 9/15; (1, 0) as (2, 0) is off by its own size; zeros."""
    updates = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    decoded = torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    found = distortion(codec("qsgd(4)"), updates, decoded, {})
    assert found["nmse"].tolist() == pytest.approx([16 / 25, 1, 0])
    assert found["cosine"].tolist() == pytest.approx([0.6, 1, 1])
    assert found["bias"].tolist() == pytest.approx([9 / 25 - 1, 1, 0])
    assert distortion_metrics([found])["communication/uplink_nmse"] == pytest.approx((16 / 25 + 1) / 3)


def test_the_share_of_bias_is_worked_by_hand() -> None:
    """Errors of two draws that are the same, at right angles, and opposite."""
    update = torch.tensor([1.0, 2.0])
    for second, share in (((2.0, 2.0), 1.0), ((1.0, 3.0), 0.0), ((0.0, 2.0), -1.0)):
        assert bias_share(update, torch.tensor([2.0, 2.0]), torch.tensor(second)) == pytest.approx(share)
    assert bias_share(update, update, update) == 0.0


@pytest.mark.slow
def test_a_run_says_how_much_of_the_loss_is_bias_in_every_tenth_round() -> None:
    name = "communication/uplink_bias_share"

    def found(uplink: str) -> dict[int, float]:
        setup = prepare(config_of(compression={"uplink": uplink}, rounds=12))
        history = train(Course(initial_state(setup)), setup, 12).history
        return {at: metrics[name] for at, metrics in history if name in metrics}

    drive, quantised = found("drive"), found("qsgd(2)")
    assert list(drive) == list(quantised) == [1, 11]
    assert all(
        abs(share) < 0.2 for share in [*drive.values(), *quantised.values()]
    )  # one update of a small model
    assert found("drive(unbiased=false)") == found("none") == found("top_k(0.1)") == {}
    plain = prepare(config_of(compression={"uplink": "drive", "quality": False}, rounds=2))
    measured = prepare(config_of(compression={"uplink": "drive"}, rounds=2))
    states = [train_rounds(initial_state(setup), setup, 2) for setup in (plain, measured)]
    assert torch.equal(states[0].parameters, states[1].parameters)  # looking changes nothing


def test_only_a_compressor_that_claims_no_bias_has_one() -> None:
    updates = normal(2, 50)
    assert "bias" not in distortion(codec("top_k(0.1)"), updates, updates, {})
    residual = {"residual": torch.tensor([[3.0, 4.0], [0.0, 0.0]])}
    found = distortion(codec("error_feedback(none)"), updates, updates, residual)
    assert found["residual_norm"].tolist() == [5, 0]


def test_an_uncompressed_update_is_exact_without_being_looked_at() -> None:
    updates = normal(2, 5)
    found = distortion(codec("none"), updates, torch.full((2, 5), math.nan), {})
    assert {name: values.tolist() for name, values in found.items()} == {
        "nmse": [0, 0],
        "cosine": [1, 1],
        "bias": [0, 0],
    }


def test_the_bias_of_an_unbiased_compressor_is_small_and_that_of_its_shrinking_twin_is_seen() -> None:
    updates = normal(50, 4096)
    found = distortion(codec("qsgd(2)"), updates, sent(codec("qsgd(2)"), updates), {})["bias"]
    assert abs(found.mean()) <= 5 * found.std() / math.sqrt(50)
    halved = distortion(codec("qsgd(2)"), updates, updates / 2, {})["bias"]
    assert halved.tolist() == pytest.approx([-0.5] * 50, rel=1e-5)


def test_a_run_measures_unless_told_not_to() -> None:
    names = {}
    for quality in (True, False):
        compression = {"uplink": "error_feedback(top_k(0.1))", "quality": quality}
        setup = prepare(config_of(compression=compression, rounds=1))
        names[quality] = set(train(Course(initial_state(setup)), setup, 1).history[0][1])
    assert names[True] - names[False] == {
        "communication/uplink_nmse",
        "communication/uplink_cosine",
        "communication/uplink_residual_norm",
    }


def test_what_clients_receive_is_measured_by_hand() -> None:
    """(3, 4) received as (3, 0): 16/25 is lost, the cosine is 9/15."""
    found = downlink_distortion(codec("float16"), torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    assert found == {
        "communication/downlink_nmse": pytest.approx(16 / 25),
        "communication/downlink_cosine": pytest.approx(0.6),
    }


@pytest.mark.parametrize("downlink", ["none", "entropy", "chain(none, entropy)"])
def test_a_downlink_that_loses_nothing_is_not_measured(downlink: str) -> None:
    assert downlink_distortion(codec(downlink), normal(1, 5)[0], normal(1, 5)[0]) == {}


@pytest.mark.parametrize("downlink", ["float16", "difference(qsgd(4))", "difference(low_rank(1))"])
def test_a_round_says_how_far_the_model_that_clients_have_is_from_the_servers(downlink: str) -> None:
    setup = prepare(config_of(compression={"downlink": downlink}, rounds=3))
    state = initial_state(setup)
    for done in range(3):
        received, exact = broadcast(setup, state, [0, 1]).model.double(), state.parameters.double()
        course = train(Course(state), setup, done + 1)
        state, (_, metrics) = course.state, course.history[-1]
        nmse = float((received - exact).square().sum() / exact.square().sum())
        assert metrics["communication/downlink_nmse"] == pytest.approx(nmse, rel=1e-4)
        cosine = torch.nn.functional.cosine_similarity(received, exact, dim=0)
        assert metrics["communication/downlink_cosine"] == pytest.approx(float(cosine), rel=1e-5)
        assert (nmse == 0) == (downlink != "float16" and done == 0), "the first send of a difference is whole"


def test_the_downlink_is_not_measured_where_the_config_says_so() -> None:
    setup = prepare(config_of(compression={"downlink": "float16", "quality": False}, rounds=1))
    course = train(Course(initial_state(setup)), setup, 1)
    assert not [name for name in course.history[0][1] if name.endswith(("nmse", "cosine"))]
