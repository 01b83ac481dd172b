"""Canaries in a run: drawn, bounded, sent and traced as clients are, and in no figure of the clients."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federated.config.privacy import Privacy
from federated.evaluation.evaluate import evaluate
from federated.forecast import forecast_study
from federated.forecast.payloads import participations
from federated.forecast.seconds.canaries import canary_seconds
from federated.foundation.errors import BadInput
from federated.machine.queueing import Stopwatch, Taken
from federated.metrics import Metrics
from federated.privacy.accounting.words import assumption
from federated.privacy.canaries import alignments, directions, of_final_model, of_iterates
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import (
    cohorts,
    draw_cohort,
    expected_clients,
    expected_updates,
    participated,
    population_of,
    sample_cohort,
)
from federated.run.course import Course
from federated.run.preparing.client_memory import most_bytes
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

CANARIES = 40
ADAPTIVE = {
    "mechanism": "central_gaussian(norm=0.1, noise_multiplier=0.1, quantile=0.4)",
    "canaries": CANARIES,
}
BYTES = 4 * 1210 + 8
"""Of one update: 32-bit floats of mlp(hidden=[16]) on digits, and a header."""


def content(privacy: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "model": "mlp(hidden=[16])",
        "clients": 20,
        "cohort": {"fraction": 0.3, "sampling": "poisson", "weighting": "uniform"},
        "privacy": {"mechanism": "clip(norm=0.5)", "canaries": CANARIES} if privacy is None else privacy,
        **changes,
    }


def prepared(privacy: Any = None, **changes: Any) -> Setup:
    return prepare(config_of(**content(privacy, **changes)))


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTUDY_HOME", str(tmp_path_factory.mktemp("home")))
        return prepared()


def trained(setup: Setup, rounds: int) -> tuple[RunState, list[Metrics]]:
    each: list[Metrics] = []
    return train_rounds(
        initial_state(setup), setup, rounds, measured=lambda state, found: each.append(found)
    ), each


def test_canaries_are_drawn_by_the_law_of_all_clients_and_change_no_poisson_cohort(setup: Setup) -> None:
    without = prepared("clip(norm=0.5)")
    assert [each.clients.tolist() for each in cohorts(setup)] == [
        each.clients.tolist() for each in cohorts(without)
    ]
    drawn = [draw_cohort(setup, {}, done).canaries for done in range(400)]
    assert set(np.concatenate(drawn).tolist()) == set(range(20, 20 + CANARIES))
    turns = np.bincount(np.concatenate(drawn) - 20)
    assert turns.mean() / 400 == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / 400 / CANARIES) ** 0.5)
    assert draw_cohort(without, {}, 0).canaries.size == 0


def test_the_mean_and_the_accountant_count_canaries_and_the_forecast_does_not(setup: Setup) -> None:
    assert expected_clients(setup) == pytest.approx(0.3 * 20)
    assert expected_updates(setup) == pytest.approx(0.3 * (20 + CANARIES))
    found = participated(setup, 4)
    assert (found.clients, found.share) == (20 + CANARIES, 0.3)
    assert found.cohort == pytest.approx(0.3 * (20 + CANARIES))
    assert found.examples.tolist() == setup.federation.sizes.tolist()
    said = assumption(found, amplified=True)
    assert "each of 60 clients, 40 canaries among them, takes part in each of 4 rounds" in said
    assert "each of 20 clients takes part" in assumption(participated(prepared("clip(1)"), 4), amplified=True)


@pytest.mark.parametrize("sampling", ["uniform", "in_turn"])
def test_of_fixed_cohorts_canaries_have_as_large_a_part_as_they_have_in_the_federation(sampling: str) -> None:
    setup = prepared(cohort={"size": 5, "sampling": sampling, "weighting": "uniform"}, rounds=60)
    sizes = [(len(sample_cohort(setup, at)), len(draw_cohort(setup, {}, at).canaries)) for at in range(60)]
    assert {sum(pair) for pair in sizes} == {15}
    assert population_of(setup).size == 15
    assert sum(canaries for _, canaries in sizes) / (60 * 15) == pytest.approx(2 / 3, abs=0.05)
    turns = np.bincount(np.concatenate([draw_cohort(setup, {}, at).canaries for at in range(60)]))
    assert turns.max() <= participated(setup, 60).most


def test_a_canary_brings_its_direction_at_exactly_the_norm_and_the_weight_of_one_client() -> None:
    """Clients that stand still: the model moves by the canaries alone, each by the norm over all that are heard."""
    setup = prepared(cohort={"weighting": "uniform"}, local={"batch_size": 16, "learning_rate": 1e-30})
    state, (metrics,) = trained(setup, 1)
    moved = (state.parameters - setup.initial_parameters).double()
    every = directions(0, range(CANARIES), 1210).double()
    assert torch.allclose(moved, 0.5 * every.sum(dim=0) / (20 + CANARIES), atol=1e-7)
    assert metrics["privacy/canary_clients"] == CANARIES


def test_no_figure_of_the_clients_has_canaries_in_it(setup: Setup) -> None:
    _, (metrics, *_) = trained(setup, 1)
    _, (without, *_) = trained(prepared("clip(norm=0.5)"), 1)
    canaries = len(draw_cohort(setup, {}, 0).canaries)
    assert metrics.pop("privacy/canary_clients") == canaries > 0
    assert metrics.pop("communication/canary_bytes") == canaries * BYTES
    changed = {name for name, value in metrics.items() if value != pytest.approx(without[name])}
    assert {name for name in changed if not name.startswith("system/")} == {"train/update_norm"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"compression": {"uplink": "error_feedback(inner=top_k(fraction=0.1))"}},
        {"aggregator": "median"},
        {"transport": "secure_aggregation(clip=0.5)", "cohort": {"weighting": "uniform", "size": 10}},
        {"privacy": {**ADAPTIVE, "canaries": 20}, "cohort": {"weighting": "uniform"}},
    ],
    ids=["plain", "codec with memory", "every row", "a sum alone", "adaptive"],
)
def test_a_run_that_went_on_from_a_checkpoint_is_the_same_to_the_bit(
    more: dict[str, Any], tmp_path: Path
) -> None:
    setup = prepared(**more)
    whole, _ = trained(setup, 4)
    save(Course(trained(setup, 2)[0]), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 4)
    assert torch.equal(whole.parameters, again.parameters)
    assert whole.server["canaries"].keys() == {"largest", "rounds", "rest", "of_a_round", "releases"}
    for name, kept in whole.server["canaries"].items():
        assert torch.equal(kept, again.server["canaries"][name])
    assert evaluate(whole, setup) == evaluate(again, setup)
    if "compression" in more:
        assert max(whole.clients["uplink"]) >= 20  # what top_k left of a canary's update
        foreseen = most_bytes(setup.config, setup.trainers, setup.parts, setup.model)
        assert sum(foreseen.values()) == (20 + CANARIES) * 4 * 1210


def test_shards_change_nothing_but_the_rounding_of_a_sum(setup: Setup) -> None:
    whole, _ = trained(setup, 3)
    cut, _ = trained(replace(setup, shard_size=4), 3)
    assert torch.allclose(whole.parameters, cut.parameters, atol=1e-6)
    assert torch.allclose(whole.server["canaries"]["largest"], cut.server["canaries"]["largest"], atol=1e-5)


def test_an_evaluation_has_both_threat_models_by_the_statistics_of_the_model_and_of_every_step(
    setup: Setup,
) -> None:
    states = [initial_state(setup)]
    train_rounds(states[0], setup, 3, measured=lambda state, found: states.append(state))
    parameters = [state.parameters.double() for state in states]
    each = [alignments(0, 2 * CANARIES, after - before) for before, after in pairwise(parameters)]
    largest, delta = np.max(each, axis=0), 20**-1.1
    final = of_final_model(alignments(0, CANARIES, parameters[-1] - parameters[0]), 1210, delta)
    iterates = of_iterates(largest[:CANARIES], largest[CANARIES:], 1210, 3, delta)
    found = evaluate(states[-1], setup)
    for name, empirical in (("final", final), ("iterates", iterates)):
        for form, value in empirical._asdict().items():
            assert found[f"privacy/empirical_epsilon_{name}_{form}"] == pytest.approx(value)
    assert not [name for name in evaluate(states[0], setup) if name.startswith("privacy/empirical")]
    assert iterates.lower > 5  # a run without noise


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"privacy": {"mechanism": "none", "canaries": 20}}, "none bounds nothing; state canary_norm"),
        ({"privacy": {"canary_norm": 1}}, "canary_norm: 1 has no effect without canaries"),
        ({"privacy": {"canaries": 20, "canary_norm": 0}}, "canary_norm"),
        ({"privacy": {"mechanism": "clip(1)", "canaries": 19}}, "must be 0 or at least 20"),
        ({"privacy": {"mechanism": "clip(1)", "canaries": -1}}, "greater than or equal to 0"),
        ({"cohort": {}}, "state cohort.weighting: uniform"),
        (
            {"algorithm": "cfl", "cohort": {"weighting": "uniform"}},
            "the one model that the server has for all",
        ),
        ({"algorithm": "ditto"}, "each has its own"),
        ({"training": "local", "cohort": {}}, "has no server"),
        ({"training": "centralised", "cohort": {}}, "has no server"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_read(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(**content(**{"privacy": None, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"privacy": {"mechanism": "clip(1e14)", "canaries": 20}}, "state a smaller norm"),
        ({"privacy": ADAPTIVE}, "or a quantile below 0.333"),
        ({"model": "logistic", "dataset": "linear"}, "2 parameters travel, .* at least 100 must"),
    ],
)
def test_what_does_not_suit_the_model_is_refused_before_anything_runs(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((BadInput, ValueError), match=message):
        prepared(**{"privacy": None, **changes})


def test_the_forecast_states_their_cost_and_leaves_their_bytes_out() -> None:
    privacy = {"mechanism": "clip(1)", "canaries": CANARIES}
    config = config_of(
        **content(privacy, cohort={"fraction": 0.1, "sampling": "poisson", "weighting": "uniform"})
    )
    run = Run("a", config)
    found, without = (
        forecast_study([each]) for each in (run, Run("a", config.model_copy(update={"privacy": Privacy()})))
    )
    assert found.uplink.expected == without.uplink.expected
    said = " ".join(found.cautions)
    for words in ("67% of the federation: of about 6 updates of a round 4", "0.4 times in 4 rounds"):
        assert words in said
    assert "privacy.canaries" not in " ".join(without.cautions)


def test_the_forecast_counts_the_time_of_their_traces_and_of_what_goes_with_each_that_is_heard(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 canaries 12 are heard in the mean. The clock is that of the test: so many calls so many seconds."""
    asked: list[int] = []

    def traced(seed: int, count: int, vector: torch.Tensor) -> np.ndarray:
        asked.append(count)
        return alignments(seed, count, vector)

    monkeypatch.setattr("federated.forecast.seconds.canaries.alignments", traced)
    monkeypatch.setattr(Stopwatch, "taken", lambda self: Taken(*[7.0] * len(Taken._fields)))
    assert canary_seconds(setup, client_seconds=100.0) == pytest.approx(7 + 0.3 * CANARIES * 100)
    assert asked == [2 * CANARIES] * 2
    assert canary_seconds(prepared("clip(norm=0.5)"), client_seconds=100.0) == 0


def test_runs_without_canaries_keep_their_keys() -> None:
    assert (
        config_of(privacy={"mechanism": "clip(1)", "canaries": 0}).run_key()
        == config_of(privacy="clip(1)").run_key()
    )
    with_some = config_of(**content())
    assert with_some.run_key() != config_of(**content("clip(norm=0.5)")).run_key()
    assert with_some.flat()["privacy.canaries"] == CANARIES


def shown(seed: int, noise_multiplier: float) -> tuple[float, float]:
    """(the largest lower bound that canaries show, what is promised) of a run."""
    mechanism = f"central_gaussian(norm=0.3, noise_multiplier={noise_multiplier})"
    privacy, cohort = {"mechanism": mechanism, "canaries": CANARIES}, {"weighting": "uniform"}
    setup = prepared(privacy, seed=seed, rounds=6, cohort=cohort)
    state, _ = trained(setup, 6)
    found = evaluate(state, setup)
    lower = max(value for name, value in found.items() if name.endswith("_lower"))
    return lower, 0.0 if setup.promise is None else setup.promise.spent(6).epsilon


@pytest.mark.slow
def test_runs_keep_their_promise_and_a_run_whose_noise_is_switched_off_is_caught() -> None:
    for seed in range(3):
        kept, promised = shown(seed, 1.5)
        assert kept <= promised
        assert shown(seed, 0.0)[0] > promised


def test_the_bytes_of_clients_beside_canaries_are_foreseen() -> None:
    """Of a cohort of a fixed size a random number are canaries, which are in no figure of the clients."""
    setup = prepared(cohort={"weighting": "uniform", "size": 5}, seed=1)
    state, _ = trained(setup, 4)
    expected = participations(setup)
    assert expected.heard == sum(len(sample_cohort(setup, done)) for done in range(4)) != 4 * 5
    assert state.uplink_bytes == expected.heard * BYTES


PLAIN = {"mechanism": "none", "canaries": CANARIES, "canary_norm": 0.5}


def test_canaries_of_a_plain_run_have_the_stated_norm_and_clients_are_as_without_them() -> None:
    """By hand: the mean of the clients' unbounded updates and of directions of half a norm; the leak is found."""
    setup, without = (
        prepared(PLAIN, cohort={"weighting": "uniform"}),
        prepared("none", cohort={"weighting": "uniform"}),
    )
    (state, _), (alone, _) = trained(setup, 1), trained(without, 1)
    moved = (state.parameters - setup.initial_parameters).double()
    learned = (alone.parameters - setup.initial_parameters).double()
    every = directions(0, range(CANARIES), 1210).double()
    assert torch.allclose(moved, (20 * learned + 0.5 * every.sum(dim=0)) / (20 + CANARIES), atol=1e-6)
    found = evaluate(state, setup)
    assert found["privacy/empirical_epsilon_iterates_lower"] > 5
    assert setup.promise is None
    assert "privacy/epsilon" not in found


def test_where_a_mechanism_has_a_norm_canaries_have_that_whatever_is_stated() -> None:
    stated = {"mechanism": "clip(norm=0.5)", "canaries": CANARIES, "canary_norm": 7}
    one, other = (trained(prepared(each), 1)[0] for each in (stated, {**stated, "canary_norm": None}))
    assert torch.equal(one.parameters, other.parameters)


def test_what_clients_agree_on_hides_no_canary_from_one_who_knows_it() -> None:
    """All take part in a small model: beside the sum of 80 clients that agree, a canary is hardly seen."""
    mechanism = "central_gaussian(norm=0.3, noise_multiplier=0)"
    setup = prepared(
        {"mechanism": mechanism, "canaries": CANARIES},
        model="logistic",
        clients=80,
        cohort={"weighting": "uniform"},
        rounds=3,
    )
    found = evaluate(trained(setup, 3)[0], setup)
    of = "privacy/empirical_epsilon_{}_lower"
    assert max(found[of.format(models)] for models in ("final", "iterates")) < 2
    assert found[of.format("informed")] > 100


def test_a_checkpoint_without_traces_of_releases_begins_them_where_it_goes_on(setup: Setup) -> None:
    half, _ = trained(setup, 2)
    old = {name: half.server["canaries"][name] for name in ("largest", "rounds")}
    resumed = replace(half, server={**half.server, "canaries": old})
    assert not [name for name in evaluate(resumed, setup) if "informed" in name]
    again = train_rounds(resumed, setup, 4)
    assert (int(again.server["canaries"]["rounds"]), int(again.server["canaries"]["releases"])) == (4, 2)
    assert evaluate(again, setup)["privacy/empirical_epsilon_informed_lower"] > 5  # without noise
