"""Central noise: its scale, what it is added to, adaptive clipping, and the plain algorithm without it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.algorithms import ALGORITHMS
from federated.forecast.payloads import participations
from federated.foundation.errors import BadInput
from federated.foundation.randomness import NoiseSource, Purpose, generator
from federated.privacy import PRIVACY, Gathered, Memory, Privacy
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import draw_cohort, participated, sample_cohort
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import Observers, advance, begun, ending, segment_ends
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

UNIFORM = {"size": 3, "weighting": "uniform"}


def prepared(privacy: object = "central_gaussian(1, 1)", **changes: object) -> Setup:
    return prepare(config_of(**{"privacy": privacy, "cohort": UNIFORM, **changes}))


def trained(setup: Setup, rounds: int = 2) -> RunState:
    return train_rounds(initial_state(setup), setup, rounds)


@pytest.mark.parametrize("algorithm", ["fedavg", "fedadam(0.1)", "fedavgm(momentum=0.9)"])
@pytest.mark.parametrize("uplink", ["none", "qsgd(4)"])
def test_without_noise_and_with_an_infinite_clip_it_is_the_plain_algorithm_to_the_bit(
    algorithm: str, uplink: str
) -> None:
    plain = trained(prepared("none", algorithm=algorithm, compression={"uplink": uplink}))
    for norm in (math.inf, 1e30):
        mechanism = {"name": "central_gaussian", "norm": norm, "noise_multiplier": 0}
        private = trained(prepared(mechanism, algorithm=algorithm, compression={"uplink": uplink}))
        assert torch.equal(plain.parameters, private.parameters)


@pytest.mark.parametrize("more", [{"noise_multiplier": 1}, {"noise_multiplier": 0, "quantile": 0.5}])
def test_an_infinite_clip_is_refused_where_noise_or_a_quantile_is_of_it(more: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="norm must be a finite number > 0, got inf"):
        config_of(privacy={"name": "central_gaussian", "norm": math.inf, **more}, cohort=UNIFORM)


@pytest.mark.parametrize("shard_size", [1, 2, 6])
def test_noise_has_the_stated_deviation_over_the_expected_cohort_whatever_the_shards(shard_size: int) -> None:
    """Two rounds apart from no noise by N(0, (z C / cohort)^2) of the first round; z 2, C 0.1, cohort 3."""
    quiet = trained(prepared("central_gaussian(0.1, 0)"), 1)
    setup = prepared("central_gaussian(0.1, 2)")
    noisy = trained(replace(setup, shard_size=shard_size), 1)
    found = (noisy.parameters - quiet.parameters).double() / (2 * 0.1 / 3)
    drawn = generator(0, Purpose.NOISE, 0).standard_normal(len(found))
    assert torch.allclose(found, torch.from_numpy(drawn), atol=1e-4)


def test_noise_is_normal_and_independent_by_coordinate_and_round() -> None:
    mechanism: Privacy = PRIVACY["central_gaussian"](norm=0.5, noise_multiplier=3.0)
    assert mechanism.release is not None
    nothing, size = Gathered(torch.zeros(20_000), {}, 10, 20.0), 20_000
    drawn = [mechanism.release({}, nothing, NoiseSource(5).of_server(done))[1] for done in range(3)]
    for noise in drawn:
        assert float(noise.std()) == pytest.approx(3 * 0.5 / 20, rel=5 / math.sqrt(2 * size))
        assert abs(float(noise.mean())) < 5 * 3 * 0.5 / 20 / math.sqrt(size)
        assert float((noise / noise.std()).pow(4).mean()) == pytest.approx(3, abs=5 * math.sqrt(96 / size))
    together = np.corrcoef(np.stack([*drawn, np.roll(drawn[0], 1)]))
    assert np.abs(together - np.eye(4)).max() < 5 / math.sqrt(size)


@pytest.mark.parametrize("uplink", ["none", "qsgd(2)", "random_k(0.1)", "top_k(0.1)", "drive", "float16"])
def test_one_client_moves_the_sum_by_no_more_than_the_clip_whatever_the_codec(uplink: str) -> None:
    setup = prepared(
        "central_gaussian(0.01, 0)",
        cohort={"size": 1, "weighting": "uniform"},
        compression={"uplink": uplink},
    )
    state = trained(setup, 1)
    moved = float(torch.linalg.vector_norm(state.parameters.double() - setup.initial_parameters.double()))
    assert 0 < moved <= 0.01 * (1 + 1e-4)


def test_the_sum_is_divided_by_the_expected_cohort_and_an_empty_round_is_noise_alone() -> None:
    mechanism: Privacy = PRIVACY["central_gaussian"](norm=1.0, noise_multiplier=0.0)
    assert mechanism.release is not None
    mean = torch.tensor([1.0, -2.0])
    for clients in (0, 1, 4, 9):
        given = Gathered(mean if clients else torch.zeros(2), {}, clients, 4.0)
        _, released = mechanism.release({}, given, generator(0, Purpose.NOISE))
        assert torch.allclose(released, mean * clients / 4)
    setup = prepared(
        "central_gaussian(0.1, 2)", cohort={"fraction": 1e-9, "sampling": "poisson", "weighting": "uniform"}
    )
    drawn = generator(0, Purpose.NOISE, 0).standard_normal(len(setup.initial_parameters))
    moved = (trained(setup, 1).parameters - setup.initial_parameters).double()
    assert torch.allclose(moved, torch.from_numpy(2 * 0.1 * drawn / 6e-9), rtol=1e-4)


def adaptive(**arguments: float) -> Privacy:
    made: Privacy = PRIVACY["central_gaussian"](norm=0.1, quantile=0.5, **arguments)
    return made


def after(
    mechanism: Privacy, norm: Tensor, share: float, clients: int, given: Gathered | None = None
) -> Tensor:
    assert mechanism.release is not None
    told = {"within": torch.tensor([share], dtype=torch.float64)}
    gathered = given or Gathered(torch.zeros(2), told, clients, 100.0)
    return mechanism.release({"norm": norm}, gathered, generator(0, Purpose.NOISE))[0]["norm"]


def test_the_clip_goes_to_the_quantile_by_the_sequence_of_the_facts() -> None:
    """Oracle: C from 0.1 with shares 0, 0.2, 0.5 and 1 within it."""
    norm, found = torch.tensor(0.1, dtype=torch.float64), []
    for share in (0.0, 0.2, 0.5, 1.0):
        norm = after(adaptive(noise_multiplier=0.0), norm, share, 100)
        found.append(float(norm))
    assert found == pytest.approx([0.110517092, 0.117351087, 0.117351087, 0.106183655], abs=1e-9)
    steps = [torch.tensor(0.1, dtype=torch.float64)]
    for _ in range(40):  # all norms are 1: up to it, and no further
        steps.append(after(adaptive(noise_multiplier=0.0), steps[-1], float(steps[-1] >= 1), 100))
    reached = [0.1 * math.exp(each / 10) for each in (10, 24, 23, 24)]
    assert [float(steps[at]) for at in (10, 30, 31, 40)] == pytest.approx(reached)


def test_the_count_is_over_the_expected_cohort_and_noisy_by_a_twentieth_of_it() -> None:
    norm = torch.tensor(1.0, dtype=torch.float64)
    few = after(adaptive(noise_multiplier=0.0), norm, 1.0, 40)  # 1/2 + 40 * 1/2 / 100
    assert float(few) == pytest.approx(math.exp(-0.2 * (0.7 - 0.5)))
    mechanism, shares = adaptive(noise_multiplier=1.0), []
    assert mechanism.release is not None
    for seed in range(400):
        told = {"within": torch.tensor([0.5], dtype=torch.float64)}
        given = Gathered(torch.zeros(1), told, 100, 100.0)
        new, _ = mechanism.release({"norm": norm}, given, generator(seed, Purpose.NOISE))
        shares.append(0.5 - math.log(float(new["norm"])) / 0.2)
    assert np.std(shares) == pytest.approx(0.05, rel=5 / math.sqrt(800))


def test_noise_of_adaptive_clipping_is_of_the_clip_that_was_in_force() -> None:
    mechanism = adaptive(noise_multiplier=1.0)
    assert mechanism.release is not None
    given = Gathered(torch.zeros(50_000), {"within": torch.tensor([0.0])}, 100, 100.0)
    new, noise = mechanism.release({"norm": torch.tensor(0.4)}, given, generator(0, Purpose.NOISE))
    assert float(new["norm"]) > 0.4
    assert float(noise.std()) == pytest.approx(1.005037816 * 0.4 / 100, rel=5 / math.sqrt(100_000))


def test_the_ratio_of_noise_to_clip_that_is_foretold_is_that_of_what_is_drawn() -> None:
    size, cohort = 10_000, 100.0
    for mechanism in (
        adaptive(noise_multiplier=1.0),
        PRIVACY["central_gaussian"](norm=0.1, noise_multiplier=1.0),
    ):
        told = {name: torch.tensor([0.5]) for name in mechanism.tells}
        given = Gathered(torch.zeros(size), told, 100, cohort)
        assert mechanism.release is not None
        assert mechanism.noise_ratio is not None
        _, noise = mechanism.release(mechanism.init(size), given, generator(0, Purpose.NOISE))
        foretold = mechanism.noise_ratio(participated(prepared(), 1)._replace(cohort=cohort), size)
        assert float(torch.linalg.vector_norm(noise)) / 0.1 == pytest.approx(
            foretold, rel=5 / math.sqrt(2 * size)
        )
        assert foretold == pytest.approx((1.005037816 if mechanism.tells else 1.0) * 100 / 100)


def test_an_adaptive_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    cohort = {"size": 6, "weighting": "uniform"}
    setup = prepared("central_gaussian(0.1, 0.5, quantile=0.5)", cohort=cohort)
    save(Course(trained(setup, 2)), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 4)
    whole = trained(setup, 4)
    assert torch.equal(again.parameters, whole.parameters)
    assert torch.equal(again.server["privacy"]["norm"], whole.server["privacy"]["norm"])
    assert float(whole.server["privacy"]["norm"]) != pytest.approx(0.1)


def test_a_larger_federation_scales_the_noise_and_the_epsilon_and_says_so() -> None:
    """Three of six stand for 300 of 6,000: noise on the mean as of 300 clients, epsilon at a share of 0.05."""
    larger = {"clients": 6000, "cohort": 300}
    poisson = {"size": 3, "weighting": "uniform", "sampling": "poisson"}
    stated = {"mechanism": "central_gaussian(0.1, 2)", "extrapolate": larger}
    setup = prepared(stated, cohort=poisson)
    quiet = trained(prepared("central_gaussian(0.1, 0)", cohort=poisson), 1)
    found = (trained(setup, 1).parameters - quiet.parameters).double()
    drawn = generator(0, Purpose.NOISE, 0).standard_normal(len(found))
    assert torch.allclose(found, torch.from_numpy(2 * 0.1 / 300 * drawn), atol=1e-6)
    promise = setup.promise
    assert promise is not None
    assert promise.participated(4).share == 0.05
    assert set(promise.metrics(1)) == {"privacy/epsilon_extrapolated", "privacy/delta"}
    assert promise.metrics(1)["privacy/delta"] == pytest.approx(6000**-1.1)
    assert "EXTRAPOLATED to a larger federation" in promise.short()
    assert "noise and epsilon are of 6,000 clients, 300 in a round" in promise.sentence()


def test_a_wanted_epsilon_is_kept_and_a_budget_ends_the_run_before_it_is_exceeded() -> None:
    wanted = prepared(
        {"mechanism": "central_gaussian(1)", "target_epsilon": 3, "delta": 1e-3}, rounds=5
    ).promise
    assert wanted is not None
    assert 2.99 < wanted.spent(5).epsilon <= 3
    assert wanted.metrics(5)["privacy/noise_multiplier"] == wanted.noise
    held = prepared({"mechanism": "central_gaussian(1, 2)", "epsilon_budget": 5, "delta": 1e-3}, rounds=100)
    promise = held.promise
    assert promise is not None
    assert promise.spent(held.last_round).epsilon <= 5 < promise.spent(held.last_round + 1).epsilon
    assert list(segment_ends(held.config, 0, held.last_round))[-1] == held.last_round < 100
    ended = ending(held.config, None, promise)
    state = initial_state(held)
    assert ended(Course(state)) is None
    reason = ended(Course(replace(state, round=held.last_round)))
    assert reason is not None
    assert reason.startswith(
        f"privacy.epsilon_budget: epsilon {promise.spent(held.last_round).epsilon:.4g} is spent"
    )


def test_every_evaluation_has_the_epsilon_of_its_round_also_after_going_on(tmp_path: Path) -> None:
    setup = prepared(rounds=4, evaluation={"every": 2})
    assert setup.promise is not None
    silent = Course(initial_state(setup))
    observers = Observers(lambda course: None, lambda history: None, lambda course: None)
    half = advance(begun(silent, setup, observers), setup, [2], observers, lambda course: None)
    save(half, tmp_path / "half", {})
    whole = advance(
        load(tmp_path / "half", {}, torch.device("cpu")), setup, [4], observers, lambda course: None
    )
    found = {done: m["privacy/epsilon"] for done, m in whole.history if "privacy/epsilon" in m}
    assert found == {done: setup.promise.spent(done).epsilon for done in (0, 2, 4)}
    assert found[0] == 0 < found[2] < found[4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"privacy": "central_gaussian(1)"}, "state its noise_multiplier, or target_epsilon"),
        (
            {"privacy": {"mechanism": "central_gaussian(1, 1)", "target_epsilon": 1}},
            "target_epsilon or noise_mult",
        ),
        ({"privacy": {"mechanism": "clip(1)", "target_epsilon": 1}}, "clip.*has no noise_multiplier to find"),
        ({"privacy": "central_gaussian(0, 1)"}, "norm must be a finite number > 0"),
        ({"privacy": "central_gaussian(1, -1)"}, "noise_multiplier must be a finite number >= 0, got -1.0"),
        ({"privacy": "central_gaussian(1, 1, quantile=1)"}, "quantile must be between 0 and 1, got 1.0"),
        ({"privacy": "central_gaussian(1, 1, rate=0.3)"}, "no effect without quantile"),
        ({"privacy": "central_gaussian(1, 1)", "cohort": {}}, "cohort.weighting: examples: how much"),
        ({"privacy": "central_gaussian(1, 1)", "algorithm": "scaffold"}, "send more than their updates"),
        ({"privacy": "central_gaussian(1, 1)", "aggregator": "median"}, "only mean goes with it"),
        (
            {"privacy": {"mechanism": "clip(1)", "epsilon_budget": 1}},
            "epsilon_budget: clip.*guarantees nothing",
        ),
        (
            {"privacy": {"mechanism": "central_gaussian(1, 1)", "epsilon_budget": 0.01}},
            "less than the first round",
        ),
        (
            {"privacy": "central_gaussian(1, 1, quantile=0.5)"},
            "count_noise 0.15 must exceed half the noise_mult",
        ),
        (
            {"privacy": {"mechanism": "central_gaussian(1, quantile=0.5)", "target_epsilon": 1}},
            r"half the noise_multiplier, 0\.15 \(as stated, or at least needed for target_epsilon\).*larger epsilon",
        ),
        (
            {"privacy": {"mechanism": "central_gaussian(1, 1)", "delta": 0.2, "refuse_large_delta": True}},
            r"privacy.delta: 0.2 is not below 1/N = 0.167.*privacy.refuse_large_delta refuses",
        ),
        (
            {"privacy": {"mechanism": "central_gaussian(1, 1)", "extrapolate": {"clients": 5, "cohort": 3}}},
            "extrapolate.clients: 5 is below the 6 of the run",
        ),
        (
            {"privacy": {"mechanism": "central_gaussian(1, 1)", "extrapolate": {"clients": 5, "cohort": 7}}},
            "cohort 7 is larger than clients 5",
        ),
    ],
)
def test_what_cannot_hold_is_refused_by_its_field(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, BadInput), match=f"(?s){message}"):
        prepare(config_of(**{"cohort": UNIFORM, **changes}))


REFUSED = {
    "fednova": "send more than their updates",
    "mime_lite": "send more than their updates",
    "q_fedavg": "send more than their updates",
    "scaffold": "send more than their updates",
    "feddyn": "adds up all rounds",
    "ifca": "which the mechanism does not bound",
    "cfl": "each cluster are used by themselves",
    "sign_majority": "the sum that the votes are counted by",
}
"""Algorithms that central noise does not go with, and why."""
ARGUMENTS = {"sign_majority": "(0.1)"}


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_is_bounded_or_refused(name: str) -> None:
    """Of one client, the sum that is released is no longer than the clip, whatever the algorithm sends."""
    votes = {"compression": {"uplink": "sign(scale=one)"}} if name == "sign_majority" else {}
    stated = {
        "algorithm": name + ARGUMENTS.get(name, ""),
        "privacy": "central_gaussian(1e-3, 0)",
        "cohort": {"size": 1, "weighting": "uniform"},
        "model": "mlp(hidden=[4])",
        "holdout": {"client": 0.2},
        **votes,
    }
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]):
            config_of(**stated)
        return
    setup, norms = prepare(config_of(**stated)), list[float]()
    release = setup.parts.privacy.release
    assert release is not None

    def watched(memory: Memory, gathered: Gathered, numbers: np.random.Generator) -> tuple[Memory, Tensor]:
        norms.append(gathered.clients * float(torch.linalg.vector_norm(gathered.update.double())))
        return release(memory, gathered, numbers)

    parts = setup.parts._replace(privacy=setup.parts.privacy._replace(release=watched))
    trained(replace(setup, worker=replace(setup.worker, parts=parts)), 1)
    assert norms == [pytest.approx(1e-3, rel=1e-4)]


SECRET = {"mechanism": "central_gaussian(1, 1)", "secure": True}
DRAWN = {"fraction": 0.5, "sampling": "poisson", "weighting": "uniform"}


def test_secure_cohorts_that_amplify_are_of_no_seed_and_follow_their_law() -> None:
    setup = prepared({**SECRET, "canaries": 100}, clients=100, cohort=DRAWN)
    draws = [draw_cohort(setup, {}, 0) for _ in range(20)]
    assert len({tuple(drawn.cohort.clients) for drawn in draws}) == 20
    assert len({tuple(drawn.canaries) for drawn in draws}) == 20
    for numbers, low, high in (
        ([each for drawn in draws for each in drawn.cohort.clients], 0, 100),
        ([each for drawn in draws for each in drawn.canaries], 100, 200),
    ):
        assert low <= min(numbers) <= max(numbers) < high
        assert len(numbers) == pytest.approx(1000, abs=5 * math.sqrt(2000 / 4))
    expected = participations(setup)
    assert expected.sent == expected.heard == 50 * 4


@pytest.mark.parametrize(
    ("privacy", "cohort"),
    [
        ("central_gaussian(1, 1)", DRAWN),
        (SECRET, {"size": 50, "weighting": "uniform"}),  # by participations, which everybody may know
        ({"mechanism": "dp_sgd(1, 1)", "secure": True}, DRAWN),  # whose epsilon is read for the draws
    ],
)
def test_other_cohorts_are_functions_of_the_seed(privacy: object, cohort: object) -> None:
    setup = prepared(privacy, clients=100, cohort=cohort)
    assert draw_cohort(setup, {}, 0).cohort.clients.tolist() == sample_cohort(setup, 0).tolist()


def test_arms_of_one_seed_share_their_noise() -> None:
    """As the tags say: two of them give away what either hides."""
    once, twice, without = (trained(prepared(f"central_gaussian(0.1, {z})"), 1).parameters for z in (1, 2, 0))
    assert torch.allclose(2 * once - twice, without, atol=1e-5)
    assert float((once - without).norm()) > 0.1
    secure = [trained(prepared({**SECRET, "mechanism": "central_gaussian(0.1, 1)"}), 1) for _ in range(2)]
    assert not torch.allclose(secure[0].parameters, secure[1].parameters, atol=1e-2)
