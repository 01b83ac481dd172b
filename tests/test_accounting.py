"""Epsilon against dp_accounting's own calls, closed forms and a second accountant, and the noise for an epsilon."""

from __future__ import annotations

import math
import resource
from typing import Any

import dp_accounting as dp
import numpy as np
import pytest
from scipy.stats import norm

from federated.participation import SamplingLaw
from federated.privacy import PRIVACY, Participated, Privacy
from federated.privacy.accounting import accountant, noise_for, spent
from federated.privacy.accounting.accountant import rough

DELTA = 1e-5


def participated(law: SamplingLaw, rounds: int, **others: Any) -> Participated:
    usual = {"share": 0.1, "clients": 100, "cohort": 10.0, "most": rounds, "apart": 1}
    return Participated(law=law, rounds=rounds, examples=np.ones(100, np.int64), **{**usual, **others})


def epsilon(z: float, given: Participated, delta: float = DELTA) -> float:
    guarantee = PRIVACY["central_gaussian"](norm=0.3, noise_multiplier=z).guarantee
    assert guarantee is not None
    return spent(guarantee(given), delta).epsilon


# q, z, rounds, delta, epsilon as measured with dp_accounting 0.6.0's PLDAccountant by a script of its own
QUICK = [
    (0.01, 1.0, 1, 1e-5, 0.1995),
    (0.01, 1.0, 100, 1e-5, 0.7180),
    (0.1, 1.0, 100, 1e-2, 3.4348),
    (0.1, 4.0, 100, 1e-5, 0.98),
]
OTHERS = [
    (0.01, 1.0, 10, 1e-5, 0.3799),
    (0.01, 1.0, 1000, 1e-5, 1.828244),
    (0.01, 0.5, 1000, 1e-5, 13.360826),
    (0.05, 1.0, 200, 1e-5, 4.765920),
    (0.1, 1.0, 100, 1e-5, 7.046603),
    (0.1, 1.0, 100, 100**-1.1, 3.7239),
    (0.1, 2.0, 100, 1e-5, 2.34),
    (0.1, 8.0, 100, 1e-5, 0.45),
    (0.05, 1.0, 100, 1e-5, 3.5021),
    (0.05, 1.0, 100, 1e-3, 2.1935),
    (0.05, 1.0, 100, 1000**-1.1, 2.4024),
    (0.05, 2.0, 100, 1e-5, 1.10),
]
POISSON = [*QUICK, *(pytest.param(*row, marks=pytest.mark.nightly) for row in OTHERS)]


@pytest.mark.parametrize(("q", "z", "rounds", "delta", "expected"), POISSON)
def test_of_poisson_cohorts_it_is_that_of_the_facts_and_of_the_librarys_own_accountant(
    q: float, z: float, rounds: int, delta: float, expected: float
) -> None:
    found = epsilon(z, participated(SamplingLaw.POISSON, rounds, share=q), delta)
    assert found == pytest.approx(expected, rel=1e-4, abs=0.006 if z > 1 else 6e-5)
    if z > 1:  # these facts have two decimals
        accountant = dp.pld.PLDAccountant()
        accountant.compose(dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(z)), rounds))
        assert found == pytest.approx(accountant.get_epsilon(delta), rel=1e-6)


def _delta_by_hand(mu: float, epsilon: float) -> float:
    """Balle and Wang 2018, theorem 8: of a Gaussian mechanism whose two outcomes lie mu deviations apart."""
    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu))


@pytest.mark.parametrize(
    ("law", "most", "z", "expected"),
    [
        (SamplingLaw.FIXED_SIZE, 100, 10.0, 4.377178),
        (SamplingLaw.FIXED_SIZE, 100, 1.0, 91.8),
        (SamplingLaw.OTHER, 10, 1.0, 17.86),
        (SamplingLaw.OTHER, 1, 3.730632, 1.0),
    ],
)
def test_cohorts_of_a_fixed_size_are_accounted_by_participations_without_amplification(
    law: SamplingLaw, most: int, z: float, expected: float
) -> None:
    found = epsilon(z, participated(law, 100, most=most))
    assert found == pytest.approx(expected, rel=1e-3)
    assert _delta_by_hand(math.sqrt(most) / z, found) == pytest.approx(DELTA, rel=1e-6)
    if expected < 20:  # of more, the library's own takes seconds
        accountant = dp.pld.PLDAccountant()
        accountant.compose(dp.GaussianDpEvent(z), most)
        assert found == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-3)


@pytest.mark.slow
def test_a_second_accountant_agrees() -> None:
    """Opacus' PRV accountant states the upper end of an interval of 0.01."""
    from opacus.accountants import create_accountant

    for q, z, rounds in ((0.01, 1.0, 1000), (0.1, 1.0, 100), (0.1, 2.0, 100)):
        other = create_accountant("prv")
        other.history = [(z, q, rounds)]
        mine = epsilon(z, participated(SamplingLaw.POISSON, rounds, share=q))
        assert mine == pytest.approx(other.get_epsilon(DELTA) - 0.01, abs=0.01)


def test_more_rounds_never_cost_less_and_none_cost_nothing() -> None:
    found = [epsilon(1.0, participated(SamplingLaw.POISSON, rounds)) for rounds in (1, 2, 5, 20, 100)]
    assert found == sorted(found)
    assert spent(dp.ComposedDpEvent([]), DELTA).epsilon == 0


def test_everybody_in_every_round_is_no_sampling() -> None:
    everybody = participated(SamplingLaw.POISSON, 25, share=1.0)
    assert epsilon(5.0, everybody) == pytest.approx(dp.get_epsilon_gaussian(1.0, DELTA))


def test_what_has_no_distribution_is_bounded_by_renyi_divergence() -> None:
    zcdp = spent(dp.ZCDpEvent(0.5), DELTA)
    assert (zcdp.accountant, zcdp.epsilon) == ("RDP", pytest.approx(4.728507, abs=1e-6))
    mixed = dp.ComposedDpEvent([dp.LaplaceDpEvent(2.0), dp.SelfComposedDpEvent(dp.GaussianDpEvent(3.0), 4)])
    accountant = dp.pld.PLDAccountant()
    accountant.compose(mixed)
    assert spent(mixed, DELTA).epsilon == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-6)
    assert spent(mixed, DELTA).epsilon < rough(mixed, DELTA)


# q 0.25, z 0.35: rounds, epsilon by dp_accounting's PLDAccountant with losses rounded to 1e-4, by a script of its own
BEYOND_FIFTY = [(18, 25.811710), (19, 26.814738), (25, 32.645058)]


@pytest.mark.slow
@pytest.mark.nightly
def test_epsilon_has_no_cliff_where_arrays_become_long() -> None:
    for rounds, expected in BEYOND_FIFTY:
        given = participated(SamplingLaw.POISSON, rounds, share=0.25)
        assert epsilon(0.35, given, 0.0371) == pytest.approx(expected, rel=1e-5)
    curve = [
        epsilon(0.35, participated(SamplingLaw.POISSON, rounds, share=0.25), 0.0371)
        for rounds in range(20, 201, 30)
    ]
    gains = np.diff(curve)
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()  # each round costs less than the one before it
    assert gains.max() < 1.3 * gains.min()


@pytest.mark.slow
def test_losses_rounded_coarsely_are_bounds_near_those_rounded_finely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(0.1, dp.GaussianDpEvent(0.5)), 100)
    exact = spent(event, DELTA).epsilon
    monkeypatch.setattr(accountant, "_MOST_NUMBERS", 2**14)
    accountant._spent.cache_clear()
    coarse = spent(event, DELTA)
    accountant._spent.cache_clear()
    assert coarse.accountant == "PLD"
    assert exact <= coarse.epsilon <= 1.001 * exact


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_hardly_any_noise_over_a_thousand_rounds_takes_little_memory(noise: float) -> None:
    event = dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(0.1, dp.GaussianDpEvent(noise)), 1000)
    spent(dp.SelfComposedDpEvent(dp.GaussianDpEvent(1), 2), DELTA)  # what is imported is not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = spent(event, DELTA)
    assert found.accountant == "PLD"
    assert found.epsilon < rough(event, DELTA)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert accountant._step(accountant._parts(event)) >= 2 * rough(event, 1e-15) / 2**21


@pytest.mark.slow
@pytest.mark.nightly
def test_noise_for_a_large_epsilon_is_found_to_a_thousandth_of_it() -> None:
    def event_of(noise: float) -> dp.DpEvent:
        return dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(0.25, dp.GaussianDpEvent(noise)), 60)

    found = spent(event_of(noise_for(event_of, 45.0, 0.0371)), 0.0371).epsilon
    assert 0.999 * 45 <= found <= 45


def test_no_noise_is_no_guarantee() -> None:
    assert spent(dp.GaussianDpEvent(0.0), DELTA).epsilon == math.inf
    assert spent(dp.NonPrivateDpEvent(), DELTA).epsilon == math.inf
    with pytest.raises(ValueError, match="no accountant knows"):
        spent(dp.SampledWithReplacementDpEvent(100, 10, dp.GaussianDpEvent(1.0)), DELTA)


@pytest.mark.parametrize(
    ("wanted", "q", "rounds", "expected"),
    [
        pytest.param(2.0, 0.01, 1000, 0.9591, marks=pytest.mark.slow),
        (1.0, None, 1, 3.730632),
        (20.0, None, 10, None),
    ],
)
def test_the_noise_for_an_epsilon_is_the_least_that_keeps_it(
    wanted: float, q: float | None, rounds: int, expected: float | None
) -> None:
    def event_of(z: float) -> dp.DpEvent:
        one = dp.GaussianDpEvent(z)
        return dp.SelfComposedDpEvent(one if q is None else dp.PoissonSampledDpEvent(q, one), rounds)

    found = noise_for(event_of, wanted, DELTA)
    assert 0.999 * wanted <= spent(event_of(found), DELTA).epsilon <= wanted
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-3)


def test_an_epsilon_that_only_a_delta_can_pay_for_and_a_mechanism_with_a_limit_have_their_noise_found_too() -> (
    None
):
    """The first needs so much noise that epsilon falls from above to 0 at once."""
    one = noise_for(dp.GaussianDpEvent, 1e-9, DELTA)
    assert (
        spent(dp.GaussianDpEvent(one), DELTA).epsilon
        <= 1e-9
        < spent(dp.GaussianDpEvent(0.99 * one), DELTA).epsilon
    )
    given = participated(SamplingLaw.FIXED_SIZE, 1)  # a cohort of 10: less than 1 alone can be had

    def event_of(z: float) -> dp.DpEvent:
        guarantee = PRIVACY["central_gaussian"](norm=0.1, noise_multiplier=z, quantile=0.5).guarantee
        assert guarantee is not None
        return guarantee(given)

    found = noise_for(event_of, 5.0, DELTA)
    assert 0.85 < found < 1
    assert 4.995 < spent(event_of(found), DELTA).epsilon <= 5
    with pytest.raises(ValueError, match=r"count_noise 0.5 must exceed half the noise_multiplier, 0.5"):
        noise_for(event_of, 3.0, DELTA)


def test_the_count_of_adaptive_clipping_is_paid_for() -> None:
    """Oracle: of 100 clients, deviation 5 on the count leaves 1.005037816 of a noise multiplier of 1."""
    from federated.privacy.central_gaussian import _of_updates

    assert _of_updates(1.0, 5.0) == pytest.approx(1.005037816, abs=1e-9)
    both = dp.ComposedDpEvent([dp.GaussianDpEvent(1.005037816), dp.GaussianDpEvent(10.0)])
    assert spent(both, DELTA).epsilon == pytest.approx(4.377178, abs=1e-6)
    mechanism: Privacy = PRIVACY["central_gaussian"](norm=0.1, noise_multiplier=1.0, quantile=0.5)
    assert mechanism.guarantee is not None
    given = participated(SamplingLaw.OTHER, 1, cohort=100.0)
    assert spent(mechanism.guarantee(given), DELTA).epsilon == pytest.approx(4.377178, abs=1e-6)
    with pytest.raises(ValueError, match=r"count_noise 0.5 must exceed half the noise_multiplier, 0.5"):
        mechanism.guarantee(given._replace(cohort=10.0))
