"""Runs through secure aggregation: the same model as in the plain, with every message counted and foreseen."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import NamedTuple

import dp_accounting
import numpy as np
import pytest
import torch

from federated.algorithms import ALGORITHMS
from federated.attacks.observed import mean_of, without_traces
from federated.config.run import RunConfig
from federated.forecast import forecast_study
from federated.forecast.warnings import cautions
from federated.foundation.errors import BadInput
from federated.privacy import PRIVACY, Privacy
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import cohorts, heard_within
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from federated.transports.secure_aggregation.fixed_point import fixed_point, integers_of
from tasks.tracking.runs.privacy import _numbers
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

SECURE = "secure_aggregation(clip=1)"


def config(**changes: object) -> RunConfig:
    base = {"cohort": {"size": 5, "weighting": "uniform"}, "transport": SECURE, "rounds": 2}
    return config_of(**{**base, **changes})


class Trained(NamedTuple):
    state: RunState
    metrics: list[dict[str, float]]


def trained(setup: Setup, start: RunState | None = None, rounds: int | None = None) -> Trained:
    found: list[dict[str, float]] = []
    after = train_rounds(
        start or initial_state(setup),
        setup,
        rounds or setup.config.rounds,
        measured=lambda _, metrics: found.append(metrics),
    )
    return Trained(after, found)


def test_fixed_point_by_hand() -> None:
    """Three bits: seven levels of a third each, held within +-1; the mean of many draws is the number."""
    codec = fixed_point(1.0, 3)
    row = torch.tensor([[0.0, 1.0, -1.0, 5.0, -9.0, 1 / 3, 0.5]])
    generators = [np.random.default_rng(seed) for seed in range(400)]
    payloads, _ = codec.encode({}, row.repeat(400, 1), generators)
    numbers = np.stack([integers_of(payload).view("<i4") for payload in payloads])
    assert numbers[0, :5].tolist() == [0, 3, -3, 3, -3]
    assert set(numbers[:, 6].tolist()) == {1, 2}
    decoded = codec.decode(payloads, 7)
    assert torch.allclose(decoded[:, :5], row[:, :5].clamp(-1, 1))
    assert abs(float(decoded[:, 6].mean()) - 0.5) < 5 * (1 / 6) / 20
    assert codec.decode(codec.encode({}, torch.zeros(1, 4), generators[:1])[0], 4).tolist() == [[0.0] * 4]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(prepare(config()))


def test_the_model_is_that_of_plain_transport_up_to_the_rounding(whole: Trained) -> None:
    """Each number is within a step, 1 / (2^15 - 1), of each client's; so is their mean, in every round."""
    plain = trained(prepare(config(transport="plain")), rounds=1).state.parameters
    first = trained(prepare(config()), rounds=1).state.parameters
    assert 0 < (first - plain).abs().max() <= 1 / (2**15 - 1)
    assert 0 < whole.metrics[0]["communication/uplink_nmse"] < 1e-5


def test_too_few_neighbours_are_a_warning_before_the_run() -> None:
    """Two of nine: with the chance of a sum that stays closed by hand, 10 * (1 - 8 / 9 * 7 / 8)."""
    stated = config(
        clients=10, cohort={"weighting": "uniform"}, transport="secure_aggregation(clip=1, neighbours=2)"
    )
    (said,) = (each for each in cautions(prepare(stated)) if each.startswith("transport: "))
    assert "neighbours=2 in a cohort of 10 clients" in said
    assert "stays closed with one of up to 1;" in said
    assert not any("neighbours" in each for each in cautions(prepare(config())))


def test_every_message_is_in_the_ledger_and_foreseen(whole: Trained) -> None:
    """By the sizes of keys (32), signatures (64), shares (33) and tags (16), five clients with four neighbours each."""
    metrics, size = whole.metrics[0], 610
    of_step = {
        name.split("/")[-1]: value for name, value in metrics.items() if "communication/uplink/" in name
    }
    assert of_step == {
        "advertise_keys_bytes": 5 * (2 * 32 + 64),
        "share_keys_bytes": 5 * (32 + 4 * (4 + 2 * 33 + 16) + 64),
        "update_bytes": 5 * (-(-size * 19 // 8) + 64),
        "consistency_bytes": 5 * 64,
        "unmask_bytes": 5 * (5 * (4 + 33) + 64),
        "metadata_bytes": 5 * 5 * 8,
    }
    back = {
        name.split("/")[-1]: value for name, value in metrics.items() if "communication/downlink/" in name
    }
    assert back == {
        "model_bytes": 5 * 4 * size,
        "advertise_keys_bytes": 5 * 4 * (4 + 2 * 32 + 64),
        "share_keys_bytes": 5 * 4 * (4 + 2 * 33 + 16),
        "consistency_bytes": 5 * 5 * 4,
        "unmask_bytes": 5 * 4 * (4 + 64),
        "metadata_bytes": 5 * 5 * 8,
    }
    assert metrics["communication/uplink_bytes"] == sum(of_step.values())
    (arm,) = forecast_study([Run("arm", config())]).arms
    assert (arm.uplink.expected, arm.downlink.expected) == (
        whole.state.uplink_bytes,
        whole.state.downlink_bytes,
    )
    assert arm.uplink.exact


@pytest.mark.parametrize("lost_after", ["keys", "sharing"])
def test_clients_that_are_lost_are_recovered_from(lost_after: str) -> None:
    """They share keys or not, their update is in no sum, and what they sent counts and is foreseen."""
    cohort = {"size": 6, "weighting": "uniform", "sampling": "unreliable(uniform, 0.1)"}
    transport = f"secure_aggregation(clip=1, threshold=0.5, silent=0.1, lost_after={lost_after})"
    stated = config(cohort=cohort, transport=transport)
    state, metrics = trained(prepare(stated))
    plain = trained(prepare(config(cohort=cohort, transport="plain")))
    assert sum(each["train/lost_clients"] for each in metrics) > 0
    assert [each["train/cohort_clients"] for each in metrics] == [6, 6]
    for each in metrics:
        updates = 6 - each["train/lost_clients"]
        ratio = 4 * 610 * updates / each["communication/uplink_bytes"]
        assert each["communication/uplink_ratio"] == pytest.approx(ratio)
    assert torch.allclose(state.parameters, plain.state.parameters, rtol=0, atol=1e-3)
    (arm,) = forecast_study([Run("arm", stated)]).arms
    assert (arm.uplink.expected, arm.downlink.expected) == (state.uplink_bytes, state.downlink_bytes)


def test_a_run_that_goes_on_and_one_in_other_shards_are_the_same(whole: Trained, tmp_path) -> None:
    setup = replace(prepare(config()), shard_size=2)
    half, _ = trained(setup, rounds=1)
    save(Course(half, ()), tmp_path / "checkpoint", {})
    loaded = load(tmp_path / "checkpoint", {}, torch.device("cpu")).state
    after = trained(replace(setup, shard_size=5), loaded).state
    assert torch.equal(after.parameters, whole.state.parameters)
    assert after.uplink_bytes == whole.state.uplink_bytes


def test_secure_keys_change_the_masks_and_not_the_sum(whole: Trained, tmp_path) -> None:
    """The sum is exact, so that the model is the same; what travels is not."""
    sent = {}
    for secure in (False, True):
        dumped = {"compression": {"dump": tmp_path / str(secure)}, "rounds": 1}
        stated = config(**dumped, privacy={"mechanism": "none", "secure": secure})
        sent[secure] = (
            trained(prepare(stated)).state.parameters,
            [path.read_bytes() for path in sorted((tmp_path / str(secure)).glob("*/*/uplink-*-update.bin"))],
        )
    assert torch.equal(sent[False][0], sent[True][0])
    assert len(sent[True][1]) == 5
    assert all(one != other for one, other in zip(sent[False][1], sent[True][1], strict=True))


def test_canaries_are_in_the_sum_and_in_no_message() -> None:
    """They are no clients of the federation: what they send is added where a server would find it in the sum."""
    private = {"privacy": {"mechanism": "clip(norm=1)", "canaries": 20}, "rounds": 1}
    plain, secure = (trained(prepare(config(**private, transport=each))) for each in ("plain", SECURE))
    assert torch.allclose(plain.state.parameters, secure.state.parameters, rtol=0, atol=2 / (2**15 - 1))
    alone = trained(prepare(config(privacy="clip(norm=1)", rounds=1)))
    assert not torch.allclose(alone.state.parameters, secure.state.parameters, rtol=0, atol=1e-3)
    (arm,) = forecast_study([Run("arm", config(**private))]).arms
    assert arm.uplink.expected == secure.state.uplink_bytes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cohort": {"size": 2, "weighting": "uniform"}},
            f"transport: {SECURE}: seed 0, round 1: a cohort of 2 hides no update".replace("=1", "=1.0"),
        ),
        (
            {"cohort": {"size": 5, "weighting": "uniform", "sampling": "unreliable(uniform, 0.5)"}},
            r"seed 0, round 1: of 5 clients \d are left at step 'update', and 4 are needed to open the sum; who drops "
            r"out follows from the seed, .*: state a smaller threshold, a smaller share of clients that are lost",
        ),
        (
            {"transport": "secure_aggregation(clip=1, neighbours=5)"},
            "round 1: neighbours must be at most 4 in a cohort of 5 clients, got 5",
        ),
        (
            {"transport": "secure_aggregation(clip=1, silent=0.9)"},
            "are left at step 'unmask', and 4 are needed",
        ),
        (
            {
                "transport": "secure_aggregation(clip=1, bits=28)",
                "clients": 20,
                "cohort": {"weighting": "uniform"},
            },
            "the sum of 20 updates .* needs 33 bits, and 32 are the most; .* at most bits=27",
        ),
        (
            {"transport": "secure_aggregation(clip=1, bits=28)", "cohort": {"size": 5}},
            r"the sum of 1,\d{3} updates .* at most bits=21",
        ),
    ],
)
def test_rounds_that_cannot_succeed_are_refused_before_the_first(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(message) if "(" in message else message):
        prepare(config(**changes))


def test_the_bits_that_are_advised_fit_every_round() -> None:
    """Where clients count by their examples and hold very different numbers, sums differ from round to round."""
    stated = {"cohort": {"size": 3}, "partitioner": "quantity_dirichlet(0.2)", "rounds": 12}
    with pytest.raises(BadInput) as error:
        prepare(config(transport="secure_aggregation(clip=1, bits=28)", **stated))
    most = int(str(error.value).rpartition("at most bits=")[2])
    prepare(config(transport=f"secure_aggregation(clip=1, bits={most})", **stated))
    with pytest.raises(BadInput, match=f"at most bits={most}"):
        prepare(config(transport=f"secure_aggregation(clip=1, bits={most + 1})", **stated))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("clip=0", "clip must be a finite number > 0"),
        ("clip=1, bits=1", "bits must be from 2 to 28, got 1"),
        ("clip=1, threshold=0.4", "threshold must be from 0.5 to below 1, got 0.4"),
        ("clip=1, neighbours=1", "neighbours must be at least 2, got 1"),
        ("clip=1, silent=1", "silent must be from 0 to below 1, got 1"),
        ("clip=1, lost_after=never", "lost_after"),
    ],
)
def test_arguments_are_checked(arguments: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(transport=f"secure_aggregation({arguments})")


NEED_A_SUM = {"fedavg", "fedprox", "fedsgd(server_learning_rate=0.1)", "fedadam", "fedavgm"}


@pytest.mark.parametrize("algorithm", sorted(NEED_A_SUM))
def test_algorithms_that_need_a_sum_alone_are_taken(algorithm: str) -> None:
    assert algorithm.split("(")[0] in ALGORITHMS
    config(algorithm=algorithm)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"algorithm": "scaffold"}, "could be read of each"),
        ({"algorithm": "ifca"}, "reads the sum of all alone"),
        ({"aggregator": "median"}, "the rule needs every update"),
        ({"compression": {"uplink": "top_k(0.1)"}}, "leave compression.uplink out"),
        (
            {
                "cohort": {"size": 5},
                "privacy": "distributed_gaussian(1, 1)",
                "transport": "secure_aggregation",
            },
            "state cohort.weighting: uniform",
        ),
    ],
)
def test_what_needs_single_updates_is_refused_with_the_reason(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        config(**changes)


@pytest.mark.parametrize(
    ("secure", "sampling", "said"),
    [
        (False, "poisson", "reproducible: noise is a function of the seed"),
        (True, "poisson", "secure: noise and cohorts are from a secure source"),
        (True, "uniform", "secure: noise is from a secure source"),
    ],
)
def test_results_say_how_many_runs_of_a_seed_may_be_published(secure: bool, sampling: str, said: str) -> None:
    cohort = {"size": 5, "weighting": "uniform", "sampling": sampling}
    private = {"mechanism": "central_gaussian(1, 1)", "secure": secure}
    found = _numbers(prepare(config(transport="plain", cohort=cohort, privacy=private)))
    assert found.startswith(said)
    assert ("at most one of them may be published" in found) is not secure
    assert ("has to add up their epsilons" in found) is secure


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({"mechanism": "none"}, "reproducible: keys and masks are functions of the seed"),
        (
            {"mechanism": "clip(norm=1)", "secure": True},
            "secure: noise, keys and masks are from a secure source",
        ),
    ],
)
def test_results_say_whether_masks_are_reproducible_or_secure(privacy: dict[str, object], said: str) -> None:
    assert _numbers(prepare(config(privacy=privacy))).startswith(said)


UNEQUAL = {"clients": 6, "partitioner": "power_law_sizes(1)", "cohort": {"size": 5}}


def test_clients_count_by_their_examples_in_whole_numbers() -> None:
    """The mean by examples, up to a step 1 / (2^15 - 1): the sum of integers n_i x_i over the sum of n_i."""
    plain, secure = (prepare(config(**UNEQUAL, transport=each, rounds=1)) for each in ("plain", SECURE))
    sizes = np.sort(secure.federation.sizes)
    assert sizes[-1] > 3 * sizes[0]
    after, metrics = trained(secure)
    of_plain = trained(plain).state.parameters
    uniform = trained(prepare(config(**{**UNEQUAL, "cohort": {"size": 5, "weighting": "uniform"}}, rounds=1)))
    assert 0 < (after.parameters - of_plain).abs().max() <= 1 / (2**15 - 1)
    assert (uniform.state.parameters - of_plain).abs().max() > 100 / (2**15 - 1)
    # 2 sum n_i (2^15 - 1) + 1 values take as many bits of each of 610 numbers
    bits = math.ceil(math.log2(2 * metrics[0]["train/cohort_examples"] * (2**15 - 1) + 1))
    assert metrics[0]["communication/uplink/update_bytes"] == 5 * (-(-610 * bits // 8) + 64)
    (arm,) = forecast_study([Run("arm", secure.config)]).arms
    assert arm.uplink.expected == after.uplink_bytes


def test_clients_count_by_their_examples_where_some_are_lost_and_to_an_attacker() -> None:
    """The mean is over the examples of those that are heard, and the attacked sum is weighted likewise."""
    cohort = {"size": 6, "sampling": "unreliable(uniform, 0.1)"}
    transport = "secure_aggregation(clip=1, threshold=0.5)"
    setup = prepare(config(**{**UNEQUAL, "cohort": cohort}, transport=transport))
    after, metrics = trained(setup)
    assert sum(each["train/lost_clients"] for each in metrics) > 0
    plain = trained(prepare(config(**{**UNEQUAL, "cohort": cohort}, transport="plain"))).state.parameters
    assert torch.allclose(after.parameters, plain, rtol=0, atol=1e-3)
    everybody, alone = np.arange(6), without_traces(setup)
    first = mean_of(initial_state(setup), alone, everybody)
    whole = prepare(config(**{**UNEQUAL, "cohort": {}}, transport="plain", rounds=1))
    moved = trained(whole).state.parameters - whole.initial_parameters
    assert torch.allclose(first.to(moved), moved, rtol=0, atol=1 / (2**15 - 1))


def test_one_client_that_is_most_of_a_sum_is_a_warning() -> None:
    found = cautions(prepare(config(clients=4, partitioner="power_law_sizes(3)", cohort={})))
    (said,) = (each for each in found if "is up to" in each)
    assert re.search(r"one client is up to (8[0-9])% of a sum", said)  # 1 / (1 + 1/8 + 1/27 + 1/64) = 85 %
    assert not [each for each in cautions(prepare(config())) if "of a sum" in each]


def test_one_client_that_is_most_of_the_updates_that_arrive_is_a_warning() -> None:
    """Of all that took part it has a third."""
    stated = config_of(
        dataset="digits",
        model="logistic",
        partitioner="dirichlet(alpha=0.1)",
        clients=12,
        rounds=8,
        cohort={"size": 6, "sampling": "unreliable(uniform, 0.3)"},
        transport="secure_aggregation(clip=2, bits=16, threshold=0.5)",
        seed=3,
    )
    setup = prepare(stated)
    arrived = [setup.trainers.holders.sizes[cohort.heard] for cohort in cohorts(setup)]
    largest = max(each.max() / each.sum() for each in arrived if len(each) >= 3)
    assert f"one client is up to {largest:.0%} of a sum" in " ".join(cautions(setup))


LOSSY = {
    "cohort": {"size": 5, "weighting": "uniform", "sampling": "unreliable(uniform, 0.2)"},
    "transport": "secure_aggregation(clip=1, silent=0.1)",
    "rounds": 6,
}


class Lossy(NamedTuple):
    setup: Setup
    states: list[RunState]
    metrics: list[dict[str, float]]


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Lossy:
    setup = prepare(config(**LOSSY))
    states, metrics = [initial_state(setup)], []
    for _ in range(setup.config.rounds):
        after, (measured,) = trained(setup, states[-1], len(states))
        states.append(after)
        metrics.append(measured)
    return Lossy(setup, states, metrics)


def test_a_round_whose_sum_stays_closed_is_lost_and_the_run_goes_on(lossy: Lossy) -> None:
    """Its model stays to the bit, nobody is heard, what was sent until then counts, and the next round learns."""
    lost = [bool(each["train/round_lost"]) for each in lossy.metrics]
    assert 0 < sum(lost) < len(lost)
    for before, after, metrics in zip(lossy.states[:-1], lossy.states[1:], lossy.metrics, strict=True):
        same = torch.equal(before.parameters, after.parameters)
        assert same == bool(metrics["train/round_lost"])
        assert ("train/loss" in metrics) is not same
        assert after.uplink_bytes - before.uplink_bytes == metrics["communication/uplink_bytes"] > 0
        assert (
            after.downlink_bytes - before.downlink_bytes
            == metrics["communication/downlink_bytes"]
            > 5 * 4 * 610
        )


def test_lost_rounds_are_foreseen_to_the_byte_and_warned_of(lossy: Lossy) -> None:
    (arm,) = forecast_study([Run("arm", lossy.setup.config)]).arms
    last = lossy.states[-1]
    assert (arm.uplink.expected, arm.downlink.expected) == (last.uplink_bytes, last.downlink_bytes)
    lost = [bool(each["train/round_lost"]) for each in lossy.metrics]
    (said,) = (each for each in cautions(lossy.setup) if "are lost" in each)
    assert f"with seed 0 {sum(lost)} of 6 rounds are lost" in said
    assert f"the first is round {lost.index(True) + 1}: of 5 clients" in said


def test_messages_of_a_lost_round_end_where_the_server_gives_up(lossy: Lossy) -> None:
    """With fewer than four of five masked updates it gives up at once: no list, no signatures, no shares."""
    ended = set()
    for metrics in lossy.metrics:
        if metrics["train/round_lost"]:
            sent = {name.split("/")[2] for name, value in metrics.items() if "/uplink/" in name and value}
            ended.add("unmask_bytes" in sent)
            if 5 - metrics["train/lost_clients"] < 4:
                assert sent == {"advertise_keys_bytes", "share_keys_bytes", "update_bytes", "metadata_bytes"}
    assert ended


def test_nobody_is_a_member_by_a_lost_round_and_the_silent_are(lossy: Lossy) -> None:
    """Who falls silent after its masked update is in the sum, so its examples were trained on."""
    heard: set[int] = set()
    drawn = cohorts(lossy.setup)
    for cohort, metrics in zip(drawn, lossy.metrics, strict=True):
        heard |= set() if metrics["train/round_lost"] else set(cohort.heard.tolist())
    assert set(heard_within(lossy.setup, 6).tolist()) == heard


def test_cohorts_too_small_to_begin_with_are_lost_rounds_without_messages() -> None:
    cohort = {"fraction": 0.4, "sampling": "poisson", "weighting": "uniform"}
    setup = prepare(config(cohort=cohort, rounds=12))
    state, metrics = trained(setup)
    small = [each for each in metrics if 0 < each["train/cohort_clients"] < 3]
    assert small
    for each in metrics:
        assert each["train/round_lost"] == (each in small)
    for each in small:
        assert each["communication/uplink_bytes"] == 0
        assert "communication/downlink/advertise_keys_bytes" not in each
    (arm,) = forecast_study([Run("arm", setup.config)]).arms
    assert (arm.uplink.expected, arm.downlink.expected) == (state.uplink_bytes, state.downlink_bytes)


def drifting(amplified: bool = False) -> Privacy:
    """Half a norm further in every coordinate and round, whoever is heard."""
    return Privacy(
        release=lambda memory, gathered, numbers: (memory, gathered.update + 0.5),
        guarantee=(lambda participated: dp_accounting.GaussianDpEvent(1.0)) if amplified else None,
        amplifies=amplified,
    )


def test_a_mechanism_that_releases_in_every_round_does_in_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in rounds that nobody takes part in; the model moves by its release of zeros alone."""
    monkeypatch.setitem(PRIVACY, "drifting", drifting)
    setup = prepare(config(**{**LOSSY, "privacy": "drifting"}))
    state, lost = initial_state(setup), 0
    for _ in range(6):
        after, (metrics,) = trained(setup, state, state.round + 1)
        alone = torch.allclose(after.parameters - state.parameters, torch.tensor(0.5), atol=1e-5)
        assert alone == bool(metrics["train/round_lost"])
        lost, state = lost + alone, after
    assert lost


def test_a_lost_round_may_not_tell_who_took_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one client fewer a Poisson cohort may be too small, and the round be lost: no noise covers that."""
    monkeypatch.setitem(PRIVACY, "drifting", drifting)
    cohort = {"fraction": 0.4, "sampling": "poisson", "weighting": "uniform"}
    prepare(config(cohort=cohort, rounds=12, privacy="drifting"))
    with pytest.raises(BadInput, match=r"hides no update.*epsilon rests on that nobody knows who takes part"):
        prepare(config(cohort=cohort, rounds=12, privacy="drifting(amplified=true)"))
