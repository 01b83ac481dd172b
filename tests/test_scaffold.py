"""SCAFFOLD on two clients whose losses are a/2 (w - b)^2, a = (1, 2), b = (0, 3): every number by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from federated.config.run import RunConfig
from federated.foundation.errors import readable
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.segments import train

LIMIT = 1e-5


def models(setup: Setup, rounds: int) -> list[float]:
    """The model after each round."""
    state, seen = initial_state(setup), []
    for until in range(1, rounds + 1):
        state = train_rounds(state, setup, until)
        seen.append(float(state.parameters[0]))
    return seen


def variates(state: RunState) -> tuple[float, float, float]:
    """c_1, c_2 and c."""
    own = state.clients["algorithm"]
    rows = (own[0], own[1], state.server["algorithm"])
    first, second, server = (float(row["variate"]) for row in rows)
    return first, second, server


def test_three_rounds_by_hand(quadratics: Callable[..., Setup]) -> None:
    setup = quadratics()
    assert models(setup, 3) == pytest.approx([0.8856, 1.24940448, 1.47988776], abs=LIMIT)
    state = train_rounds(initial_state(setup), setup, 3)
    assert variates(state) == pytest.approx((1.24940448, -3.184713422, -0.967654471), abs=LIMIT)


def test_fedavg_starts_alike_and_goes_elsewhere(quadratics: Callable[..., Setup]) -> None:
    found = models(quadratics(algorithm="fedavg"), 3)
    assert found == pytest.approx([0.8856, 1.46549088, 1.845203428], abs=LIMIT)
    assert models(quadratics(algorithm="fedavg"), 200)[-1] == pytest.approx(2.565469293, abs=1e-4)


def test_its_limit_is_the_optimum_and_variates_are_the_gradients_there(
    quadratics: Callable[..., Setup],
) -> None:
    setup = quadratics(rounds=400)
    state = train_rounds(initial_state(setup), setup, 400)
    assert float(state.parameters[0]) == pytest.approx(2.0, abs=1e-4)
    assert variates(state) == pytest.approx((2.0, -2.0, 0.0), abs=1e-3)


def test_a_client_that_takes_part_alone_counts_for_half_of_the_federation(
    quadratics: Callable[..., Setup],
) -> None:
    for seed in range(20):
        setup = quadratics(cohort={"size": 1, "weighting": "uniform"}, seed=seed)
        if sample_cohort(setup, 0).tolist() == [1]:
            break
    state = train_rounds(initial_state(setup), setup, 1)
    assert float(state.parameters[0]) == pytest.approx(1.7712, abs=LIMIT)
    assert float(state.clients["algorithm"][1]["variate"]) == pytest.approx(-4.428, abs=LIMIT)
    assert float(state.server["algorithm"]["variate"]) == pytest.approx(-2.214, abs=LIMIT)
    assert 0 not in state.clients["algorithm"]


def test_with_momentum_the_divisor_is_how_far_the_steps_reach(quadratics: Callable[..., Setup]) -> None:
    local = {"batch_size": None, "learning_rate": 0.1, "momentum": 0.9, "steps": 10}
    setup = quadratics(local=local, rounds=5)
    found = models(setup, 5)
    assert [found[0], found[1], found[4]] == pytest.approx([1.493400194, 1.253899939, 1.693498897], abs=1e-4)


@pytest.mark.slow
@pytest.mark.nightly
def test_weighted_by_examples_its_limit_is_the_weighted_optimum(quadratics: Callable[..., Setup]) -> None:
    """Weights 1/5 and 4/5: the optimum of the weighted sum is (4/5 x 2 x 3) / (1/5 x 1 + 4/5 x 2) = 8/3."""
    setup = quadratics(cohort={"weighting": "examples"}, rounds=600)
    state = train_rounds(initial_state(setup), setup, 600)
    assert float(state.parameters[0]) == pytest.approx(8 / 3, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weighting", "optimum"), [("examples", 2.0), pytest.param("uniform", 1.25, marks=pytest.mark.nightly)]
)
@pytest.mark.nightly
def test_whoever_is_drawn_its_limit_is_the_optimum_of_the_weights(
    quadratics: Callable[..., Setup], weighting: str, optimum: float
) -> None:
    """Cohorts of two of three. (1 x 0 + 4 x 6 - 2 x 1) / (1 + 8 + 2) = 2 and (0 + 6 - 1) / (1 + 2 + 1) = 5/4."""
    cohort = {"size": 2, "weighting": weighting}
    setups = [quadratics("three", cohort=cohort, rounds=200, seed=seed) for seed in range(2)]
    found = [train_rounds(initial_state(setup), setup, 200) for setup in setups]
    assert [float(state.parameters[0]) for state in found] == pytest.approx([optimum] * 2, abs=1e-3)


def test_the_server_s_variate_stays_the_weighted_mean_of_the_clients(
    quadratics: Callable[..., Setup],
) -> None:
    setup = quadratics("three", cohort={"size": 2}, rounds=9)
    state = train_rounds(initial_state(setup), setup, 9)
    own = {client: float(kept["variate"]) for client, kept in state.clients["algorithm"].items()}
    mean = sum(count / 7 * own.get(client, 0.0) for client, count in enumerate((1, 4, 2)))
    assert float(state.server["algorithm"]["variate"]) == pytest.approx(mean, abs=1e-5)


def test_after_one_step_a_variate_is_the_gradient_at_the_received_model_whatever_the_learning_rate(
    quadratics: Callable[..., Setup],
) -> None:
    local = {"batch_size": None, "steps": 1, "learning_rate": 0.1, "schedule": "exponential(0.5)"}
    setup = quadratics(local=local)
    before = train_rounds(initial_state(setup), setup, 2)
    received = float(before.parameters[0])
    first, second, _ = variates(train_rounds(before, setup, 3))
    assert (first, second) == pytest.approx((received, 2 * (received - 3)), abs=LIMIT)


def test_a_round_with_a_learning_rate_of_zero_leaves_the_variates_as_they_were(
    quadratics: Callable[..., Setup],
) -> None:
    setup = quadratics(schedule="silent_at_first", rounds=4)
    assert models(setup, 4) == pytest.approx([0.0, 0.8856, 1.24940448, 1.47988776], abs=LIMIT)


def test_a_second_vector_travels_each_way_and_is_counted(quadratics: Callable[..., Setup]) -> None:
    setup = quadratics(rounds=1)
    course = train(Course(initial_state(setup)), setup, 1)
    (_, metrics), two_clients = course.history[0], 2
    for way, part in (("uplink", "update"), ("downlink", "model")):
        assert metrics[f"communication/{way}/{part}_bytes"] == 4 * two_clients
        assert metrics[f"communication/{way}/variate_bytes"] == 4 * two_clients
        assert metrics[f"communication/{way}/metadata_bytes"] == 2 * 8 * two_clients


def test_shards_and_a_checkpoint_in_between_change_nothing(
    quadratics: Callable[..., Setup], tmp_path: Path
) -> None:
    setup = quadratics()
    whole = train_rounds(initial_state(setup), setup, 3)
    cut = replace(setup, shard_size=1)
    halfway = train_rounds(initial_state(cut), cut, 1)
    save(Course(halfway), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, cut, 3)
    assert torch.equal(whole.parameters, again.parameters)
    assert variates(whole) == variates(again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"aggregator": "median"},
            "algorithm: scaffold with aggregator: median: what its clients send beside",
        ),
        (
            {"privacy": "clip(1.0)"},
            "algorithm: scaffold with privacy: clip(norm=1.0): its clients send more than",
        ),
    ],
)
def test_what_would_not_guard_the_variates_is_refused(changes: dict[str, str], message: str) -> None:
    content = {"dataset": "digits", "model": "logistic", "clients": 3, "rounds": 1, "algorithm": "scaffold"}
    with pytest.raises(ValueError, match="scaffold") as raised:
        RunConfig.model_validate({**content, **changes})
    assert message in readable(raised.value)


def test_option_1_by_hand(quadratics: Callable[..., Setup]) -> None:
    setup = quadratics(algorithm="scaffold(option=1)")
    assert models(setup, 3) == pytest.approx([0.8856, 1.17269088, 1.403895268], abs=LIMIT)
    state = train_rounds(initial_state(setup), setup, 3)
    assert variates(state) == pytest.approx((1.17269088, -3.65461824, -1.24096368), abs=LIMIT)
    later = train_rounds(state, quadratics(algorithm="scaffold(option=1)", rounds=200), 200)
    assert float(later.parameters[0]) == pytest.approx(2.0, abs=1e-4)
    assert variates(later) == pytest.approx((2.0, -2.0, 0.0), abs=1e-3)


def test_its_first_round_with_variates_of_zero_is_fedavg_s_bit_for_bit(
    quadratics: Callable[..., Setup],
) -> None:
    setups = [quadratics(algorithm=algorithm) for algorithm in ("scaffold", "scaffold(option=1)", "fedavg")]
    first, second, plain = (train_rounds(initial_state(setup), setup, 1).parameters for setup in setups)
    assert torch.equal(first, plain)
    assert torch.equal(second, plain)
