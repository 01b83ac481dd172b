"""Correlated noise: what is added is C^-1 Z, its sums err less, and the guarantee is that of one Gaussian mechanism."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import dp_accounting as dp
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from federated.foundation.errors import BadInput
from federated.foundation.randomness import NoiseSource
from federated.participation import SamplingLaw
from federated.privacy import PRIVACY, Gathered, Participated, Privacy
from federated.privacy.matrix.toeplitz import optimal_column, prefix_errors
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import participated
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.wire.downlink import broadcast
from tests.conftest import config_of


def made(noise: float = 1.0, bands: int = 4, norm: float = 1.0, min_separation: int | None = None) -> Privacy:
    return PRIVACY["dp_ftrl"](norm, bands, noise, min_separation)


def noise_of(privacy: Privacy, rounds: int, size: int) -> np.ndarray:
    """What is added to sums of zeros in each round, [rounds, size]."""
    assert privacy.release is not None
    memory, found = privacy.init(size), []
    for done in range(rounds):
        gathered = Gathered(torch.zeros(size), {}, 3, 1.0, rounds)
        memory, update = privacy.release(memory, gathered, NoiseSource(0).of_server(done))
        found.append(update.numpy().astype(np.float64))
    return np.stack(found)


@pytest.mark.parametrize(("bands", "rounds"), [(1, 6), (4, 12), (12, 5)])
def test_the_matrix_makes_the_noise_independent_again(bands: int, rounds: int) -> None:
    noise = noise_of(made(2.0, bands, norm=0.5), rounds, 20)
    column = optimal_column(rounds, bands)
    matrix = sum(value * np.eye(rounds, k=-lag) for lag, value in enumerate(column))
    drawn = np.stack([NoiseSource(0).of_server(done).standard_normal(20) for done in range(rounds)])
    assert matrix @ noise == pytest.approx(2.0 * 0.5 * drawn, abs=1e-5)


def test_only_the_last_rows_are_remembered() -> None:
    privacy = made(bands=4)
    assert privacy.release is not None
    assert {name: tuple(rows.shape) for name, rows in privacy.init(7).items()} == {"noise": (3, 7)}
    assert made(bands=1).init(7) == {}
    memory, update = privacy.release(
        privacy.init(7), Gathered(torch.zeros(7), {}, 3, 1.0, 9), NoiseSource(0).of_server(0)
    )
    assert torch.equal(memory["noise"], torch.stack([torch.zeros(7), torch.zeros(7), update]))


def test_sums_of_noise_err_as_foretold_and_less_than_independent_noise_of_the_same_guarantee() -> None:
    rounds, size = 64, 4_000
    correlated, independent = (noise_of(made(bands=bands), rounds, size).cumsum(axis=0) for bands in (16, 1))
    errors = correlated.std(axis=1)
    assert errors == pytest.approx(prefix_errors(optimal_column(rounds, 16), rounds), rel=0.05)
    assert independent.std(axis=1) == pytest.approx(np.sqrt(np.arange(1, rounds + 1)), rel=0.05)
    assert 2 * errors.max() < independent.std(axis=1).max()
    taken = taking_part(rounds, most=4, apart=16)
    same = [made(bands=bands).guarantee(taken).noise_multiplier for bands in (16, 1)]
    assert same == pytest.approx([1 / 4**0.5] * 2)


def taking_part(rounds: int, most: int, apart: int, to_come: int = 0) -> Participated:
    return Participated(SamplingLaw.OTHER, 1.0, 9, 3.0, rounds, most, apart, np.full(9, 5), to_come)


def test_turns_that_do_not_overlap_are_as_many_gaussian_mechanisms() -> None:
    """Oracle: dp_accounting's composition of one Gaussian mechanism for each turn."""
    event = made(noise=3.0, bands=5).guarantee(taking_part(40, most=6, apart=5))
    several = dp.rdp.RdpAccountant().compose(dp.GaussianDpEvent(3.0), 6)
    assert dp.rdp.RdpAccountant().compose(event).get_epsilon(1e-5) == pytest.approx(several.get_epsilon(1e-5))
    assert event == dp.GaussianDpEvent(pytest.approx(3.0 / 6**0.5))


def test_before_the_first_round_nothing_is_lost_and_until_the_last_ever_more() -> None:
    privacy = made(noise=2.0, bands=4)
    assert privacy.guarantee(taking_part(0, 0, 4, 20)) == dp.NoOpDpEvent()
    noise = [privacy.guarantee(taking_part(t, -(-t // 4), 4, 20 - t)).noise_multiplier for t in (1, 4, 5, 20)]
    assert noise[0] > noise[1] > noise[2] > noise[3]
    assert noise[3] == pytest.approx(2.0 / 5**0.5)
    assert noise[1] == pytest.approx(2.0)


def test_turns_that_overlap_cost_more_and_have_to_be_allowed() -> None:
    """Of all rounds: the same update in each, which moves C x by C 1."""
    taken = taking_part(10, most=10, apart=1)
    with pytest.raises(
        ValueError,
        match=r"min_separation: 4 rounds must lie between .* cohorts of \d+ among the [0-9,]+ "
        r"clients that have examples guarantee 1;",
    ):
        made().guarantee(taken)
    column = optimal_column(10, 4)
    moved = np.linalg.norm(np.convolve(column, np.ones(10))[:10])
    event = made(min_separation=1).guarantee(taken)
    assert event.noise_multiplier == pytest.approx(1 / moved)
    assert event.noise_multiplier < 1 / 10**0.5


@pytest.mark.parametrize(
    ("sampling", "bands", "most", "apart"), [("in_turn", 3, 2, 3), ("in_turn", 1, 2, 3), ("uniform", 1, 4, 1)]
)
def test_a_run_accounts_for_how_its_cohorts_take_turns(
    home: Path, sampling: str, bands: int, most: int, apart: int
) -> None:
    """Of the 2 turns in rounds 0 and 3 of 4 the later one moves one row of C x alone, by the first entry of c."""
    setup = prepared(f"dp_ftrl(noise_multiplier=2, norm=1, bands={bands})", size=2, sampling=sampling)
    taken = participated(setup, 4)
    assert (taken.most, taken.apart, taken.to_come) == (most, apart, 0)
    moved = (most - 1 + optimal_column(4, bands)[0] ** 2) ** 0.5
    assert setup.parts.privacy.guarantee(taken).noise_multiplier == pytest.approx(2 / moved)


def test_cohorts_that_guarantee_less_are_refused_before_the_run(home: Path) -> None:
    for cohort, found in (({"sampling": "in_turn"}, 3), ({"sampling": "uniform"}, 1)):
        with pytest.raises(BadInput, match=f"^privacy: dp_ftrl.*: min_separation: 4 .* guarantee {found};"):
            prepared("dp_ftrl(noise_multiplier=2, norm=1, bands=4)", size=2, **cohort)
    prepared("dp_ftrl(noise_multiplier=2, norm=1, bands=4, min_separation=1)", size=2, sampling="uniform")


def test_more_bands_than_rounds_or_memory_are_refused_before_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = {"size": 1, "sampling": "in_turn"}
    with pytest.raises(BadInput, match=r"^privacy: dp_ftrl.*: bands: 5 are more than the run has rounds, 4;"):
        prepared("dp_ftrl(noise_multiplier=2, norm=1, bands=5)", **cohort)
    monkeypatch.setattr("federated.run.preparing.refusals.machine_bytes", lambda: 2 * 3 * 610 * 4 - 1)
    with pytest.raises(BadInput, match=r"^privacy: dp_ftrl.* remembers 0\.0 GB at the server"):
        prepared("dp_ftrl(noise_multiplier=2, norm=1, bands=4)", **cohort)


def test_shards_and_a_resumed_run_have_the_same_noise(home: Path, tmp_path: Path) -> None:
    setup = prepared("dp_ftrl(noise_multiplier=1, norm=1, bands=3)", size=2, sampling="in_turn")
    whole = trained(setup, 4)
    assert torch.allclose(trained(replace(setup, shard_size=1), 4), whole, atol=1e-6)
    save(Course(train_rounds(initial_state(setup), setup, 2)), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 4)
    assert torch.equal(again.parameters, whole)


def test_the_noise_stays_at_the_server(home: Path) -> None:
    """Who knew the rows that later rounds take back could take them off himself."""
    setup = prepared("dp_ftrl(noise_multiplier=1, norm=1, bands=3)", size=2, sampling="in_turn")
    state = train_rounds(initial_state(setup), setup, 2)
    assert state.server["privacy"]["noise"].abs().sum() > 0
    assert "privacy" not in broadcast(setup, state, [0, 1]).server


def test_without_noise_and_bound_it_is_the_plain_algorithm(home: Path) -> None:
    cohort = {"size": 2, "sampling": "in_turn"}
    plain = trained(prepared("none", **cohort), 4)
    assert torch.equal(
        trained(prepared("dp_ftrl(noise_multiplier=0, norm=1e30, bands=3)", **cohort), 4), plain
    )


@pytest.mark.parametrize("bands", [1, 16])
def test_the_noise_of_a_round_is_as_long_as_foretold(bands: int) -> None:
    privacy = made(2.0, bands, norm=3.0)
    assert privacy.noise_ratio is not None
    lengths = np.linalg.norm(noise_of(privacy, 64, 4_000), axis=1) / 3.0  # of a cohort of one
    foretold = privacy.noise_ratio(taking_part(64, 1, 16)._replace(cohort=1.0), 4_000)
    assert np.sqrt(np.mean(lengths**2)) == pytest.approx(foretold, rel=0.02)


def test_the_noise_for_a_wanted_epsilon_and_an_extrapolated_run(home: Path) -> None:
    """Two turns at 3 bands: a root of 1 + c_0^2; for 600 clients in cohorts of 20 the noise is a tenth, of one turn."""
    cohort = {"size": 2, "sampling": "in_turn", "weighting": "uniform"}
    privacy = {"mechanism": "dp_ftrl(norm=1, bands=3)", "target_epsilon": 4, "delta": 1e-5}
    promise = prepare(config_of(privacy=privacy, cohort=cohort)).promise
    assert promise is not None
    moved = (1 + optimal_column(4, 3)[0] ** 2) ** 0.5
    assert promise.noise == pytest.approx(dp.get_sigma_gaussian(4.0, 1e-5) * moved, rel=1e-3)
    larger = {**privacy, "extrapolate": {"clients": 600, "cohort": 20}}
    other = prepare(config_of(privacy=larger, cohort=cohort))
    assert other.promise is not None
    assert other.promise.noise == pytest.approx(dp.get_sigma_gaussian(4.0, 1e-5), rel=1e-3)
    taken = Gathered(torch.zeros(9), {}, 2, 2.0, 4)
    release, memory = other.parts.privacy.release, other.parts.privacy.init(9)
    assert release is not None
    whole, tenth = (
        release(memory, taken._replace(scale=scale), NoiseSource(0).of_server(0))[1] for scale in (1.0, 0.1)
    )
    assert torch.allclose(0.1 * whole, tenth)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("noise_multiplier=1, norm=1", "bands"),
        ("norm=1, bands=2", "state its noise_multiplier, or target_epsilon"),
        ("noise_multiplier=1, norm=1, bands=0", "bands must be at least 1, got 0"),
        ("noise_multiplier=1, norm=1, bands=2, min_separation=0", "min_separation must be at least 1, got 0"),
        ("noise_multiplier=-1, norm=1, bands=2", "noise_multiplier must be a finite number >= 0, got -1"),
        ("noise_multiplier=1, norm=0, bands=2", "norm must be a finite number > 0, got 0"),
        ("noise_multiplier=1, norm=1, bands=1.5", "bands"),
    ],
)
def test_bad_arguments_are_refused(stated: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_of(privacy=f"dp_ftrl({stated})", cohort={"weighting": "uniform"})


@cache
def _setup(privacy: str, cohort: tuple[tuple[str, object], ...]) -> Setup:
    return prepare(config_of(privacy=privacy, cohort={"weighting": "uniform", **dict(cohort)}))


def prepared(privacy: str, **cohort: object) -> Setup:
    return _setup(privacy, tuple(cohort.items()))


def trained(setup: Setup, rounds: int) -> torch.Tensor:
    return train_rounds(initial_state(setup), setup, rounds).parameters
