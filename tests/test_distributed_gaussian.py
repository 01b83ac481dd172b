"""Noise of all clients together: its law, how far one client reaches, what is guaranteed, and runs with it."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from federated.config.run import RunConfig
from federated.forecast import forecast_study
from federated.foundation.errors import BadInput
from federated.participation import SamplingLaw
from federated.privacy import PRIVACY, Participated, Summed
from federated.privacy.distributed.discrete_gaussian import discrete_gaussian
from federated.privacy.distributed.grid import Grid, divergence, grid_for
from federated.privacy.distributed.rounding import on_grid, rounded_within
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")


def exact(deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers and their probabilities, by the definition."""
    points = np.arange(-40, 41)
    weights = np.exp(-(points**2) / (2 * deviation**2))
    return points, weights / weights.sum()


@pytest.mark.parametrize("deviation", [0.5, 1.0, 3.7])
def test_discrete_gaussian_has_its_law(deviation: float) -> None:
    """Each count within five standard deviations, the variance too; for 0.5 it is 0.2150, below 0.25."""
    count = 200_000
    drawn = discrete_gaussian(deviation, count, np.random.default_rng(1))
    points, chances = exact(deviation)
    found = np.array([(drawn == point).sum() for point in points])
    assert (np.abs(found - count * chances) <= 5 * np.sqrt(count * chances) + 3).all()
    variance = float(points**2 @ chances)
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    if deviation == 0.5:
        assert variance == pytest.approx(0.2150, abs=1e-4)


def test_large_deviations_are_those_of_a_gaussian() -> None:
    drawn = discrete_gaussian(20_000.0, 50_000, np.random.default_rng(2))
    assert abs(drawn.mean()) < 5 * 20_000 / math.sqrt(50_000)
    assert drawn.std() == pytest.approx(20_000, rel=5 / math.sqrt(100_000))
    assert not discrete_gaussian(0.0, 5, np.random.default_rng(2)).any()


def test_a_rounded_update_is_never_longer_than_its_reach() -> None:
    """100 numbers of a half round to a squared norm of 50 in the mean, and to at most 40 only when it must be."""
    row = np.full(100, 0.5)
    for seed in range(20):
        whole = rounded_within(row, math.sqrt(45), np.random.default_rng(seed))
        assert whole @ whole <= 45
    none = rounded_within(row, 1.0, np.random.default_rng(0))
    assert none @ none <= 1


def test_the_reach_by_hand() -> None:
    """Kairouz et al. 2021, theorem 1, at beta = exp(-1/2), where sqrt(2 ln(1 / beta)) is one."""
    grid = grid_for(1.0, 12, Summed(10, 7, 1_000))
    norm, width = 1 / grid.step, grid.width
    assert 1_000 <= width < 1_032
    likely = norm**2 + width / 4 + norm + math.sqrt(width) / 2
    assert grid.reach**2 == pytest.approx(min(likely, (norm + math.sqrt(width)) ** 2))
    assert grid.deviation * math.sqrt(7) == pytest.approx(grid.reach)


def test_the_grid_is_as_fine_as_the_bits_allow() -> None:
    summed = Summed(10, 7, 1_000)
    steps = [grid_for(1.0, bits, summed).step for bits in (12, 16, 20)]
    assert [steps[0] / steps[1], steps[1] / steps[2]] == pytest.approx([16, 16], rel=0.05)
    with pytest.raises(ValueError, match="bits 8 are too few for the noise of 900 clients"):
        grid_for(3.0, 8, Summed(900, 600, 1_000))
    in_sum = PRIVACY["distributed_gaussian"](norm=1, noise_multiplier=0.001, bits=10).in_sum
    assert in_sum is not None
    with pytest.raises(ValueError, match=r"each client's noise is 0\.\d+ of one, and 0\.5 is the least"):
        in_sum(Summed(10, 7, 1_000), np.random.default_rng(0))


def test_the_divergence_is_a_gaussians_where_noise_is_wide_and_more_where_it_is_narrow() -> None:
    """rho = reach^2 / (2 n deviation^2); tau = 10 sum exp(-2 pi^2 deviation^2 k / (k + 1)) where that is not tiny."""
    assert divergence(Grid(1e-3, 1_000.0, 500.0, 610), 4) == pytest.approx((0.5, 0.0))
    tau = 10 * (math.exp(-(math.pi**2) / 4) + math.exp(-2 * math.pi**2 * 0.25 * 2 / 3))
    rho, xi = divergence(Grid(0.5, 4.0, 0.5, 16), 3)
    scale = 4 / (math.sqrt(3) * 0.5)
    one, other = (scale**2 / 2, 16 * tau), ((scale + 4 * tau) ** 2 / 2, 0.0)
    assert (rho, xi) == pytest.approx(min(one, other, key=lambda bound: 10 * bound[0] + bound[1]))


def participated(law: SamplingLaw = SamplingLaw.FIXED_SIZE, summed: Summed | None = None) -> Participated:
    return Participated(law, 0.1, 100, 10.0, 4, 4, 1, np.full(100, 5), summed=summed)


def test_the_guarantee_composes_over_the_rounds_of_a_client() -> None:
    """Four rounds of rho = 1 / (2 z^2), z = 2: what dp_accounting says of 0.5-zCDP at delta 1e-5 is 4.7285."""
    from federated.privacy.accounting import spent

    guarantee = PRIVACY["distributed_gaussian"](norm=1, noise_multiplier=2).guarantee
    assert guarantee is not None
    event = guarantee(participated(summed=Summed(10, 7, 1_000)))
    assert spent(event, 1e-5).epsilon == pytest.approx(4.728507, rel=1e-3)
    with pytest.raises(ValueError, match="poisson the number of clients that add noise varies"):
        guarantee(participated(SamplingLaw.POISSON, Summed(10, 7, 1_000)))


@pytest.mark.parametrize("spiked", [False, True])
def test_sums_decode_to_the_sum_and_noise_of_the_stated_deviation(spiked: bool) -> None:
    """Equal updates, whole ones and single numbers, so that an overflow would show: 10 clients, 7 for all the noise."""
    size, clients, noise = 5_000, 10, 0.5
    grid = grid_for(noise, 16, Summed(clients, 7, size))
    codec = on_grid(grid, 2.0, size, np.random.default_rng(0))
    update = torch.randn(1, size, generator=torch.Generator().manual_seed(0))
    if spiked:
        update = torch.zeros(1, size)
        update[0, 17] = 1.0
    update = 2 * update / update.norm()
    payloads, _ = codec.encode(
        {}, update.repeat(clients, 1), [np.random.default_rng(at) for at in range(clients)]
    )
    integers = [np.frombuffer(payload, "<u4", offset=8) for payload in payloads]
    total = np.sum(integers, axis=0, dtype=np.uint64) % 2**16
    wrapped = np.where(total >= 2**15, total.astype(np.int64) - 2**16, total.astype(np.int64))
    found = codec.decode([payloads[0][:8] + wrapped.astype("<i4").tobytes()], size)[0]
    error = found - clients * update[0]
    expected = noise * 2.0 * grid.reach * grid.step * math.sqrt(clients / 7)
    assert float(error.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * size))
    assert abs(float(error.mean())) < 5 * expected / math.sqrt(size)


MECHANISM = "distributed_gaussian(norm=1, noise_multiplier=0.5)"


def config(**changes: object) -> RunConfig:
    base = {
        "cohort": {"size": 6, "weighting": "uniform"},
        "transport": "secure_aggregation",
        "privacy": MECHANISM,
        "rounds": 2,
    }
    return config_of(**{**base, **changes})


def trained(stated: RunConfig, shard_size: int = 6) -> RunState:
    setup = replace(prepare(stated), shard_size=shard_size)
    return train_rounds(initial_state(setup), setup, stated.rounds)


def test_a_run_is_the_same_in_other_shards_and_its_bytes_are_foreseen() -> None:
    state, other = trained(config()), trained(config(), shard_size=2)
    assert torch.equal(state.parameters, other.parameters)
    (arm,) = forecast_study([Run("arm", config())]).arms
    assert (arm.uplink.expected, arm.downlink.expected) == (state.uplink_bytes, state.downlink_bytes)


def test_a_cohort_larger_than_the_probes_is_foreseen() -> None:
    (arm,) = forecast_study(
        [Run("arm", config(clients=12, cohort={"size": 12, "weighting": "uniform"}))]
    ).arms
    assert arm.uplink.exact


def test_without_noise_it_is_clipping_up_to_the_grid() -> None:
    quiet = trained(config(privacy="distributed_gaussian(norm=1, noise_multiplier=0, bits=30)"))
    plain = trained(config(privacy="clip(norm=1)", transport="plain"))
    assert torch.allclose(quiet.parameters, plain.parameters, rtol=0, atol=1e-6)


def test_drop_outs_within_the_threshold_leave_enough_noise() -> None:
    """Of six clients five must stay: the guarantee is of the noise of five, whoever stays; of half, each adds more."""
    promise = prepare(config()).promise
    assert promise is not None
    known = promise.participated(2).summed
    assert known is not None
    assert (known.clients, known.least, known.size) == (6, 5, 610)
    assert promise.spent(1).epsilon < promise.spent(2).epsilon
    lower = prepare(config(transport="secure_aggregation(threshold=0.5)"))
    assert lower.promise is not None
    assert lower.promise.spent(2).epsilon == pytest.approx(promise.spent(2).epsilon, rel=1e-6)
    assert lower.promise.noise_ratio > promise.noise_ratio


@pytest.mark.parametrize(("epsilon", "bits"), [(3.0, 20), (500.0, 9)])
def test_noise_is_found_for_an_epsilon(epsilon: float, bits: int) -> None:
    """Also where less noise than is accounted for would do."""
    mechanism = f"distributed_gaussian(norm=1, bits={bits})"
    promise = prepare(config(privacy={"mechanism": mechanism, "target_epsilon": epsilon})).promise
    assert promise is not None
    assert promise.noise is not None
    assert promise.spent(2).epsilon <= epsilon
    if bits == 20:
        assert promise.spent(2).epsilon >= 0.99 * epsilon


def test_secure_noise_cannot_be_foretold() -> None:
    secure = config(privacy={"mechanism": MECHANISM, "secure": True}, rounds=1)
    assert not torch.equal(trained(secure).parameters, trained(secure).parameters)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cohort": {"size": 6, "weighting": "uniform", "sampling": "poisson"}},
            "number of clients that add noise varies",
        ),
        (
            {
                "cohort": {"size": 6, "weighting": "uniform", "sampling": "poisson"},
                "privacy": "distributed_gaussian(norm=1, noise_multiplier=0)",
                "clients": 9,
                "rounds": 20,
            },
            "the mechanism's noise is for cohorts of 6 clients, and ",
        ),
        (
            {"privacy": "distributed_gaussian(norm=1, noise_multiplier=0.001, bits=8)"},
            "state more bits, or more noise",
        ),
        (
            {
                "privacy": "distributed_gaussian(norm=1, noise_multiplier=3, bits=8)",
                "clients": 100,
                "cohort": {"weighting": "uniform"},
            },
            "bits 8 are too few",
        ),
    ],
)
def test_what_cannot_be_guaranteed_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        prepare(config(**changes))
