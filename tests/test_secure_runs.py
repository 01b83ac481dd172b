"""Runs through secure aggregation: the same model as in the plain, with every message counted and foreseen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from federated.algorithms import ALGORITHMS
from federated.config.run import RunConfig
from federated.forecast import forecast_study
from federated.forecast.warnings import cautions
from federated.foundation.errors import BadInput
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
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
            "needs 33 bits",
        ),
    ],
)
def test_rounds_that_cannot_succeed_are_refused_before_the_first(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(message) if "(" in message else message):
        prepare(config(**changes))


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
        ({"cohort": {"size": 5}}, "state cohort.weighting: uniform"),
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
