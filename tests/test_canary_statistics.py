"""The statistics of canaries, each against an oracle that is not itself."""

from __future__ import annotations

import dp_accounting
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from federated.foundation.randomness import Purpose, generator
from federated.privacy.canaries import (
    alignments,
    directions,
    of_final_model,
    of_iterates,
    with_others_known,
    without_others,
    without_part,
)
from federated.privacy.canaries.cosine_law import log_tail, scores
from federated.privacy.canaries.lower_bound import SHARES, lower_bound
from federated.privacy.canaries.two_normals import epsilon_apart

RUNS = 40


@pytest.mark.parametrize("delta", [1e-3, 1e-6])
@pytest.mark.parametrize("shift", [0.1, 1.0, 5.0])
def test_equal_deviations_are_the_gaussian_mechanism(shift: float, delta: float) -> None:
    expected = dp_accounting.get_epsilon_gaussian(1 / shift, delta)
    assert epsilon_apart(shift, 1.0, delta) == pytest.approx(expected, abs=1e-9)


def test_a_shift_of_five_deviations() -> None:
    assert epsilon_apart(5.0, 1.0, 1e-5) == pytest.approx(33.103732336, abs=1e-8)


@pytest.mark.parametrize(
    ("shift", "deviation", "epsilon"), [(1.0, 0.7, 1.0), (1.0, 1.5, 2.0), (0.5, 1.02, 0.1), (3.0, 0.9, 4.0)]
)
def test_unequal_deviations_by_numerical_integration(shift: float, deviation: float, epsilon: float) -> None:
    at = np.linspace(-40, 40, 2_000_001)
    one, other = stats.norm.pdf(at, shift, deviation), stats.norm.pdf(at)
    delta = max(
        integrate.trapezoid(np.maximum(a - np.exp(epsilon) * b, 0), at)
        for a, b in ((one, other), (other, one))
    )
    assert epsilon_apart(shift, deviation, delta) == pytest.approx(epsilon, abs=1e-4)


def test_a_law_that_is_not_above_the_other_shows_nothing() -> None:
    assert epsilon_apart(-2.0, 0.5, 1e-5) == 0 == epsilon_apart(1e-7, 1.0, 1e-3)


@pytest.mark.parametrize("dimension", [3, 20, 999])
def test_the_cosine_of_a_random_direction_has_the_exact_law(dimension: int) -> None:
    """Its density is proportional to (1 - t^2)^((d - 3) / 2)."""

    def above(cosine: float) -> float:
        def density(at: float) -> float:
            return float((1 - at * at) ** ((dimension - 3) / 2))

        mass = integrate.quad(density, cosine, 1, epsabs=0, limit=200)[0]
        return mass / integrate.quad(density, -1, 1, epsabs=0, limit=200)[0]

    cosines = np.array([-0.2, 0.0, 0.05, 0.3, 0.6])
    expected = np.array([above(cosine) for cosine in cosines])
    assert np.exp(log_tail(cosines, dimension)) == pytest.approx(expected, rel=1e-6)
    assert stats.norm.sf(scores(cosines, dimension)) == pytest.approx(expected, rel=1e-6)


def test_tails_beyond_the_smallest_number_are_close_and_not_below() -> None:
    """The same integral over its value at the cosine, in logarithms."""
    dimension, cosine = 900, 0.97
    power = (dimension - 3) / 2

    def relative(at: float) -> float:
        return float(((1 - at * at) / (1 - cosine * cosine)) ** power)

    scaled = np.log(integrate.quad(relative, cosine, 1, epsabs=0)[0]) + power * np.log(1 - cosine**2)
    whole = np.log(integrate.quad(lambda at: (1 - at * at) ** power, -1, 1)[0])
    found = float(log_tail(np.array([cosine]), dimension)[0])
    assert 0 <= found - (scaled - whole) < 0.01
    assert found < np.log(1e-290)


def test_from_a_thousand_dimensions_the_law_is_normal() -> None:
    cosines = np.array([-0.05, 0.0, 0.04, 0.1])
    assert log_tail(cosines, 1000) == pytest.approx(stats.norm.logsf(cosines * np.sqrt(1000)))
    assert log_tail(cosines, 999) == pytest.approx(log_tail(cosines, 1000), abs=0.02)


def test_canaries_found_without_fail_are_bounded_by_clopper_and_pearson() -> None:
    """Of 200 thresholds at fixed ranks each has its part of the 5 %; false positives are one in a million."""
    seen, delta = np.linspace(1, 2, 200), 1e-5
    found = lower_bound(seen, lambda at: np.full(len(at), np.log(1e-6)), delta)
    level = 1 - 0.05 / len(SHARES)
    missed = [
        stats.binomtest(int((1 - share) * 200), 200, alternative="less")
        .proportion_ci(level, method="exact")
        .high
        for share in SHARES
    ]
    assert found == pytest.approx(max(np.log((1 - np.array(missed) - delta) / 1e-6)))


def test_the_bound_holds_with_its_confidence_where_it_is_tight() -> None:
    """A mechanism that reveals all that epsilon allows: e^epsilon times as likely in the upper half as in the lower."""
    epsilon, trials, numbers = 1.0, 1000, np.random.default_rng(0)
    upper = np.exp(epsilon) / (1 + np.exp(epsilon))
    bounds = []
    for _ in range(trials):
        above = numbers.random(200) < upper
        seen = numbers.random(200) / 2 + above / 2
        bounds.append(lower_bound(seen, lambda at: np.log1p(-at), 0.0))
    assert np.mean(np.array(bounds) > epsilon) <= 0.05
    assert np.mean(bounds) > 0.3


def test_directions_are_uniform_on_the_sphere_and_canaries_keep_theirs() -> None:
    drawn = directions(3, range(300), 50)
    assert torch.linalg.vector_norm(drawn, dim=1).numpy() == pytest.approx(1.0, abs=1e-6)
    first = torch.from_numpy(generator(3, Purpose.CANARIES, 130).standard_normal(50, np.float32))
    assert torch.allclose(directions(3, [130], 50)[0], first / first.norm())
    assert torch.equal(drawn[[7, 260]], directions(3, [7, 260], 50))
    vector = torch.linspace(-1, 3, 50)
    found = alignments(3, 300, vector)
    assert found == pytest.approx(
        torch.nn.functional.cosine_similarity(drawn, vector[None]).numpy(), abs=1e-6
    )
    assert stats.kstest(scores(found, 50), "norm").pvalue > 0.01
    assert alignments(3, 4, torch.zeros(50)).tolist() == [0.0] * 4


def summed(run: int, count: int, dimension: int, noise: float) -> torch.Tensor:
    """The release of a Gaussian mechanism of a sum of canaries and of clients of other directions."""
    clients = directions(1000 + run, range(count), dimension).sum(dim=0)
    drawn = torch.from_numpy(generator(run, Purpose.NOISE).standard_normal(dimension, np.float32))
    return directions(run, range(count), dimension).sum(dim=0) + clients + noise * drawn


@pytest.mark.slow
def test_over_forty_runs_no_bound_is_above_the_guarantee_and_each_run_without_noise_is_caught() -> None:
    """Of the mechanism by itself: 50 canaries among 100 clients, 4,000 parameters, epsilon 2 at delta 1e-5."""
    count, dimension, delta, promised = 50, 4000, 1e-5, 2.0
    noise = dp_accounting.get_sigma_gaussian(promised, delta)
    with_noise = [
        of_final_model(alignments(run, count, summed(run, count, dimension, noise)), dimension, delta)
        for run in range(RUNS)
    ]
    without = [
        of_final_model(alignments(run, count, summed(run, count, dimension, 0)), dimension, delta)
        for run in range(RUNS)
    ]
    assert max(found.lower for found in with_noise) <= promised
    assert min(found.lower for found in without) > promised
    assert np.mean([found.known for found in with_noise]) == pytest.approx(promised, abs=0.3)
    assert np.mean([found.fitted for found in with_noise]) > promised


def test_in_all_iterates_the_largest_cosine_tells_and_the_bound_pays_for_every_round() -> None:
    """Ten rounds, in one of which each canary takes part. Against the fit: normal laws by their own figures."""
    count, dimension, rounds, delta = 100, 2000, 10, 1e-5
    largest = np.full(2 * count, -1.0)
    for done in range(rounds):
        taking_part = range(done * 10, done * 10 + 10)
        drawn = torch.from_numpy(generator(done, Purpose.NOISE).standard_normal(dimension, np.float32))
        step = directions(5, taking_part, dimension).sum(dim=0) + 0.2 * drawn
        largest = np.maximum(largest, alignments(5, 2 * count, step))
    seen, unseen = largest[:count], largest[count:]
    found = of_iterates(seen, unseen, dimension, rounds, delta)
    shift, spread = (seen.mean() - unseen.mean()) / unseen.std(ddof=1), seen.std(ddof=1) / unseen.std(ddof=1)
    assert found.known == pytest.approx(dp_accounting.get_epsilon_gaussian(1 / shift, delta))
    assert found.fitted == pytest.approx(epsilon_apart(shift, spread, delta))
    alone = lower_bound(seen, lambda at: log_tail(at, dimension), delta)
    assert found.lower == pytest.approx(alone - np.log(rounds), abs=1e-6)
    assert found.lower > 2


def test_without_the_others_a_canary_has_the_cosine_of_two_residuals() -> None:
    """By least squares: canary and vector both without what all other canaries explain of them."""
    dimension, count = 120, 7
    vector = torch.from_numpy(np.random.default_rng(3).standard_normal(dimension)).float()
    every = directions(5, range(count), dimension).double().numpy()
    found = without_others(5, count, vector)
    for at in range(count):
        others = np.delete(every, at, axis=0).T
        mine, left = (
            each - others @ np.linalg.lstsq(others, each, rcond=None)[0]
            for each in (every[at], vector.double().numpy())
        )
        expected = mine @ left / np.linalg.norm(mine) / np.linalg.norm(left)
        assert found.cosines[at] == pytest.approx(expected, abs=1e-6)
    assert found.dimension == dimension - count + 1
    assert without_others(5, 61, vector).dimension == dimension  # more than half: as a whole


def test_canaries_that_took_no_part_have_the_law_of_chance_beside_those_that_did() -> None:
    """Three quarters of 40 canaries in each vector, under little noise and much: scores of the others are normal."""
    dimension, count, chosen = 300, 40, np.random.default_rng(0)
    for noise in (0.01, 1.0):
        absent: list[float] = []
        for seed in range(60):
            took_part = chosen.permutation(count) < 30
            vector = directions(seed, np.flatnonzero(took_part).tolist(), dimension).sum(dim=0)
            vector = vector + noise * torch.from_numpy(chosen.standard_normal(dimension)).float()
            found = without_others(seed, count, vector)
            absent += scores(found.cosines, found.dimension)[~took_part].tolist()
        assert stats.kstest(absent, "norm").pvalue > 0.01


def test_what_clients_sent_is_taken_off_by_whatever_factor_it_is_in_a_vector() -> None:
    rest = torch.tensor([0.0, 2.0, 0.0])
    clients = torch.tensor([3.0, 0.0, 4.0])
    assert torch.allclose(without_part(rest - 0.7 * clients, 5 * clients), rest, atol=1e-6)
    assert torch.equal(without_part(rest, torch.zeros(3)), rest)


def test_the_bound_of_one_who_knows_the_others_holds_of_gaussian_noise() -> None:
    """One round of noise multiplier 1 at delta 1e-3: the bounds are below its epsilon, and more than a third of it."""
    dimension, count, delta = 2000, 200, 1e-3
    promised = dp_accounting.get_epsilon_gaussian(1.0, delta)
    lower = []
    for seed in range(RUNS):
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(dimension)).float()
        found = without_others(seed, count, directions(seed, range(count), dimension).sum(dim=0) + noise)
        lower.append(with_others_known(found.cosines, found.cosines, found.dimension, 1, delta).lower)
    assert max(lower) <= promised
    assert np.mean(lower) > promised / 3
