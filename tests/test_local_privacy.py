"""Noise at the clients: its distribution, whose it is, and the guarantee over rounds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dp_accounting import get_sigma_gaussian
from dp_accounting.pld import PLDAccountant
from pydantic import ValidationError
from scipy.stats import kstest, norm

from federated.foundation.randomness import NoiseSource
from federated.participation import SamplingLaw
from federated.privacy import PRIVACY, Participated, Privacy
from federated.privacy.accounting.delta import default_delta
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from tests.conftest import config_of

BY_EPSILON = "local_gaussian(norm=1, epsilon=1, delta=1e-5)"


def mechanism(name: str, **arguments: Any) -> Privacy:
    return PRIVACY[name](**arguments)


def noise_of(privacy: Privacy, size: int, clients: tuple[int, ...] = (0,)) -> np.ndarray:
    assert privacy.bound is not None
    zeros = torch.zeros(len(clients), size, dtype=torch.float64)
    noise: np.ndarray = privacy.bound({}, zeros, NoiseSource(0).of_clients(0, clients)).updates.numpy()
    return noise


def epsilon(privacy: Privacy, turns: int, delta: float) -> float:
    """By the library itself, of a client that takes part so often."""
    assert privacy.guarantee is not None
    taken = Participated(SamplingLaw.OTHER, 1.0, 9, 3.0, 20, turns, 1, np.full(9, 5))
    accountant = PLDAccountant()
    return float(accountant.compose(privacy.guarantee(taken)).get_epsilon(delta))


def delta_of(epsilon: float, distance: float) -> float:
    """Of a Gaussian mechanism that moves by so many deviations (Balle and Wang 2018, theorem 8)."""
    half, slope = distance / 2, epsilon / distance
    return float(norm.cdf(half - slope) - np.exp(epsilon) * norm.cdf(-half - slope))


@pytest.mark.parametrize("clients", [1, 20])
def test_the_delta_of_an_update_does_not_grow_where_clients_are_few(clients: int) -> None:
    """One client's update is protected whoever else is there: 20^-1.1 = 0.037 would allow to publish one of 27."""
    assert default_delta(clients, "update") == 1e-5
    assert default_delta(10**6, "update") == pytest.approx(10**-6.6)
    cohort = {"weighting": "uniform"}
    setup = prepare(
        config_of(clients=clients, cohort=cohort, privacy="local_gaussian(norm=1, noise_multiplier=1)")
    )
    assert setup.promise is not None
    assert setup.promise.delta == 1e-5
    shared = prepare(config_of(clients=20, cohort=cohort, privacy="central_gaussian(1, 1)"))
    assert shared.promise is not None
    assert shared.promise.delta == pytest.approx(20**-1.1)


@pytest.mark.parametrize(("wanted", "delta"), [(1.0, 1e-5), (0.1, 1e-3), (8.0, 1e-6), (50.0, 1e-9)])
def test_the_deviation_gives_the_stated_epsilon_to_two_updates_at_opposite_ends(
    wanted: float, delta: float
) -> None:
    privacy = mechanism("local_gaussian", norm=3.0, epsilon=wanted, delta=delta)
    (drawn,) = NoiseSource(0).of_clients(0, (0,))
    deviation = noise_of(privacy, 1)[0, 0] / drawn.standard_normal()
    assert delta_of(wanted, 2 * 3.0 / deviation) == pytest.approx(delta, rel=1e-6)


def test_the_deviation_by_hand() -> None:
    """Oracle: 3.730632 for sensitivity 1, epsilon 1 and delta 1e-5; the classical formula has 4.844805."""
    noise = noise_of(mechanism("local_gaussian", norm=1.0, epsilon=1.0, delta=1e-5), 400_000)
    assert noise.std() == pytest.approx(2 * 3.730632, rel=0.005)  # 4.5 standard errors
    assert kstest(noise[0], "norm", (0, 2 * 3.730632)).pvalue > 0.001


def test_noise_of_laplace_has_the_scale_of_the_l1_distance() -> None:
    noise = noise_of(mechanism("local_laplace", epsilon=4.0, norm=3.0), 100_000)
    assert kstest(noise[0], "laplace", (0, 1.5)).pvalue > 0.001


def test_updates_are_shortened_to_the_norm_before_the_noise() -> None:
    updates = torch.tensor([[3.0, -4.0], [0.3, 0.4]], dtype=torch.float64)
    for name, expected in (
        ("local_gaussian(norm=1, noise_multiplier=1e-9)", [[0.6, -0.8], [0.3, 0.4]]),
        ("local_laplace(norm=1, epsilon=1e9)", [[3 / 7, -4 / 7], [0.3, 0.4]]),
    ):
        bound = config_of(privacy=name, cohort={"weighting": "uniform"}).privacy.mechanism.build().bound
        bounded = bound({}, updates, NoiseSource(0).of_clients(0, (0, 1)))
        assert bounded.updates.numpy() == pytest.approx(np.array(expected), abs=1e-6)
        assert bounded.changed.tolist() == [True, False]


@pytest.mark.parametrize(
    "privacy",
    [
        mechanism("local_gaussian", norm=1.0, noise_multiplier=1.0),
        mechanism("local_laplace", norm=1.0, epsilon=1.0),
    ],
    ids=["gaussian", "laplace"],
)
def test_noise_is_the_client_s_own_in_whatever_order(privacy: Privacy) -> None:
    together = noise_of(privacy, 50, (4, 2, 7))
    assert np.array_equal(together[::-1], noise_of(privacy, 50, (7, 2, 4)))
    assert all(
        np.array_equal(row, noise_of(privacy, 50, (client,))[0])
        for row, client in zip(together, (4, 2, 7), strict=True)
    )
    assert abs(np.corrcoef(together)[np.triu_indices(3, 1)]).max() < 0.6  # 4 deviations


@pytest.mark.parametrize("turns", [1, 10])
def test_turns_compose(turns: int) -> None:
    """Of Gaussians: one whose distance is the root of the turns; of Laplace: at most the sum."""
    gaussian = mechanism("local_gaussian", norm=2.0, epsilon=1.0, delta=1e-5)
    found = epsilon(gaussian, turns, 1e-5)
    assert delta_of(found, turns**0.5 / 3.7306316) == pytest.approx(1e-5, rel=0.01)
    multiplied = mechanism("local_gaussian", norm=2.0, noise_multiplier=2 * 3.7306316)
    assert epsilon(multiplied, turns, 1e-5) == pytest.approx(found, rel=1e-4)
    laplace = epsilon(mechanism("local_laplace", norm=2.0, epsilon=0.5), turns, 1e-9)
    assert laplace == pytest.approx(0.5, rel=1e-3) if turns == 1 else 0.5 < laplace < turns * 0.5


def test_who_never_takes_part_loses_nothing() -> None:
    for name in ("local_gaussian(norm=1, noise_multiplier=1)", "local_laplace(norm=1, epsilon=1)"):
        privacy = config_of(privacy=name, cohort={"weighting": "uniform"}).privacy.mechanism.build()
        assert epsilon(privacy, 0, 1e-5) == 0


def test_without_noise_and_bound_it_is_the_plain_algorithm(home: Path) -> None:
    plain = trained(prepared("none"), 2)
    assert torch.equal(trained(prepared("local_gaussian(norm=1e30, noise_multiplier=0)"), 2), plain)


@pytest.mark.parametrize("privacy", [BY_EPSILON, "local_laplace(norm=1, epsilon=100)"])
def test_shards_and_a_resumed_run_have_the_same_noise(home: Path, tmp_path: Path, privacy: str) -> None:
    setup = prepared(privacy)
    whole = trained(setup, 3)
    assert torch.allclose(trained(replace(setup, shard_size=1), 3), whole, atol=1e-5)
    half = train_rounds(initial_state(setup), setup, 1)
    save(Course(half), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 3)
    assert torch.equal(again.parameters, whole)


def test_the_noise_for_a_wanted_epsilon_is_that_of_all_turns(home: Path) -> None:
    """Oracle: the analytic deviation for epsilon 8 and delta 1e-5, 0.753, for a distance of 2 and a root of 2 turns."""
    privacy = {"mechanism": "local_gaussian(norm=3)", "target_epsilon": 8, "delta": 1e-5}
    cohort = {"size": 2, "sampling": "in_turn", "weighting": "uniform"}
    promise = prepare(config_of(privacy=privacy, cohort=cohort)).promise
    assert promise is not None
    assert promise.noise == pytest.approx(2 * get_sigma_gaussian(8.0, 1e-5) * 2**0.5, rel=1e-3)
    assert 7.99 < promise.spent(4).epsilon <= 8


def test_a_guarantee_towards_the_server_says_so_and_is_not_amplified(home: Path) -> None:
    """Whatever the sampling, a client may take part in all 4 rounds, and the server sees it."""
    cohort = {"size": 3, "sampling": "poisson", "weighting": "uniform"}
    privacy = {"mechanism": "local_laplace(norm=1, epsilon=0.5)", "delta": 1e-9}
    promise = prepare(config_of(privacy=privacy, cohort=cohort)).promise
    assert promise is not None
    words = promise.words()
    assert words["unit"].startswith("what one client sends replaced by anything else")
    assert words["sampling"].startswith(
        "no amplification by sampling: each of 6 clients takes part in at most 4 of 4"
    )
    assert 0.5 < promise.spent(4).epsilon <= 4 * 0.5
    assert promise.spent(1).epsilon == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize(
    "privacy",
    [
        mechanism("local_gaussian", norm=2.0, noise_multiplier=1.5),
        mechanism("local_laplace", norm=2.0, epsilon=3.0),
    ],
    ids=["gaussian", "laplace"],
)
def test_the_noise_in_a_mean_is_as_long_as_foretold(privacy: Privacy) -> None:
    assert privacy.noise_ratio is not None
    taken = Participated(SamplingLaw.OTHER, 1.0, 9, 4.0, 20, 1, 1, np.full(9, 5))
    mean = noise_of(privacy, 20_000, (0, 1, 2, 3)).mean(axis=0)
    assert np.linalg.norm(mean) / 2.0 == pytest.approx(privacy.noise_ratio(taken, 20_000), rel=0.03)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("local_gaussian(norm=1)", "state its noise_multiplier, or target_epsilon"),
        ("local_gaussian(norm=1, epsilon=1)", "state both epsilon and delta, such as epsilon=8, delta=1e-5"),
        (
            {"mechanism": "local_gaussian(norm=1, epsilon=1, delta=0.1)", "target_epsilon": 2},
            "state target_epsilon, of all rounds, or epsilon, of one, not both",
        ),
        (
            {"mechanism": "local_laplace(norm=1, epsilon=1)", "target_epsilon": 2},
            "target_epsilon: 2 has no effect with local_laplace",
        ),
        ("local_gaussian(norm=1, epsilon=1, delta=1)", "delta must be between 0 and 1, got 1"),
        ("local_gaussian(norm=1, epsilon=0, delta=1e-5)", "epsilon must be a finite number > 0, got 0"),
        ("local_gaussian(norm=1, epsilon=1, delta=0.1, noise_multiplier=1)", "not both"),
        (
            "local_gaussian(norm=1, noise_multiplier=-1)",
            "noise_multiplier must be a finite number >= 0, got -1",
        ),
        ("local_gaussian(norm=0, noise_multiplier=1)", "norm must be a finite number > 0, got 0"),
        ("local_laplace(norm=1, epsilon=-2)", "epsilon must be a finite number > 0, got -2"),
        ("local_laplace(norm=1e999, epsilon=1)", "norm must be a finite number > 0, got inf"),
    ],
)
def test_bad_arguments_are_refused(stated: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_of(privacy=stated, cohort={"weighting": "uniform"})


@cache
def _setup(privacy: str) -> Setup:
    return prepare(config_of(privacy=privacy, cohort={"size": 3, "weighting": "uniform"}))


def prepared(privacy: str) -> Setup:
    return _setup(privacy)


def trained(setup: Setup, rounds: int) -> torch.Tensor:
    return train_rounds(initial_state(setup), setup, rounds).parameters
