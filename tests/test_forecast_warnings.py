"""The forecast's warnings of what cannot work or is likely a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from federated.forecast import cautions, forecast_study
from federated.machine import queueing
from federated.run.setup import prepare
from federated.study.study import Run
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")


def said(**changes: Any) -> list[str]:
    return cautions(prepare(config_of(**changes)))


def test_nothing_is_said_of_a_plain_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "threads", dict)  # no other programs
    assert said() == []
    assert forecast_study([Run("a", config_of())]).cautions == ()


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "small clients": (
        {"local": {"batch_size": 300}},
        "local.batch_size: 6 of 6 clients hold fewer than 300 training examples (the fewest: 239)",
    ),
    "patience": (
        {"stop": {"patience": 5}},
        "stop.patience: 5 evaluations without improvement need more than the 2 that 4 rounds have with evaluation",
    ),
    "weights of one": (
        {"cohort": {"size": 1, "weighting": "uniform"}},
        "cohort.weighting: uniform has no effect: each round has one client",
    ),
    "late schedule": (
        {"local": {"schedule": "step(4)"}},
        "local.schedule: step(every=4) has no effect: its factor is 1 in all 4 rounds",
    ),
    "late schedule of the server": (
        {"server_schedule": "step(4)"},
        "server_schedule: step(every=4) has no effect: its factor is 1 in all 4 rounds",
    ),
    "schedule of one round": (
        {"local": {"schedule": "cosine"}, "rounds": 1},
        "local.schedule: cosine has no effect: its factor is 1 in the only round",
    ),
    "momentum of one step": (
        {"local": {"batch_size": None, "momentum": 0.5}},
        "local.momentum: 0.5 has no effect: it starts at zero in every round, and each client takes one step in a",
    ),
    "target": (
        {"stop": {"metric": "generalisation/test_accuracy", "target": 1.5}},
        "stop.target: 1.5 is beyond what generalisation/test_accuracy can be",
    ),
    "empty clients": (
        {"partitioner": "OWN:few", "cohort": {"size": 6}},
        "cohort: 6 clients a round are wanted, but only 2 of 6 hold training examples, so each round has 2",
    ),
    "alone without own share": (
        {"training": "local"},
        "holdout.client is 0, so whether federated training is better than what each client has alone stays open",
    ),
    "no own share": (
        {"partitioner": "OWN:tiny", "holdout": {"client": 0.2}},
        "holdout.client: 5 of 6 clients (1, 2, 3, 4, 5) have too few examples (or groups, or times) for a share of 0.2",
    ),
    "untrained class": (
        {"partitioner": "OWN:lacking"},
        "classes: no participating client trains on '3'; all their examples are held out",
    ),
    "own strange class": (
        {"partitioner": "OWN:lonely", "holdout": {"client": 0.5}},
        "clients are tested on a class that they themselves never train on",
    ),
}

PARTITIONERS = """
import numpy as np
def few(pool, clients, generator):
    return [range(0, 700), range(700, pool.size), [], [], [], []]
def tiny(pool, clients, generator):
    return [range(5, pool.size), [0], [1], [2], [3], [4]]
def lacking(pool, clients, generator):
    kept = np.flatnonzero(pool.labels != 3)
    return np.array_split(kept, clients)
def lonely(pool, clients, generator):
    order = np.argsort(pool.labels, kind="stable")
    mixed = [np.r_[order[40 * k: 40 * k + 20], order[-1 - k]] for k in range(clients)]
    return mixed
"""


@pytest.mark.parametrize("what", CASES)
def test_what_cannot_work_is_said_with_field_and_value(what: str, own: Any) -> None:
    changes, sentence = CASES[what]
    if str(changes.get("partitioner", "")).startswith("OWN"):
        changes = {**changes, "partitioner": changes["partitioner"].replace("OWN", own(PARTITIONERS))}
    assert any(sentence in each for each in said(**changes)), said(**changes)


def test_a_stop_rule_that_can_fire_is_left_alone() -> None:
    for stop in ({"patience": 1, "target": None}, {"target": 0.5}, {"patience": 9, "target": 0.5}):
        assert said(stop=stop, evaluation={"every": 1}) == []


def test_a_constant_target_is_said(own: Any) -> None:
    module = own("def load():\n    return [[float(i)] for i in range(50)], [2.5] * 50\n")
    found = said(dataset=f"{module}:load", model="linear", clients=2, cohort={})
    assert (
        "dataset: all 10 targets of the central test set are 2.5, so generalisation/test_r2 says nothing"
        in found
    )


def test_a_network_on_which_a_round_takes_hours_is_said() -> None:
    model = "mlp(hidden=[64])"  # 4,810 parameters
    slow = config_of(model=model, network="lorawan(compute=0)")
    made = forecast_study([Run("a", config_of(model=model)), Run("b", slow)])
    found = [caution for caution in made.cautions if caution.startswith("network: a round takes about")]
    hours = (
        2 * (4 * 4810 + 8) * 8 / 54.7 / 3600
    )  # both ways at 54.7 bit/s; the second of round trip is nothing
    assert len(found) == 1
    assert f"takes about {hours:,.1f} hours" in found[0]
    assert found[0].endswith("days [b]")


def test_a_rate_that_is_too_large_is_said_and_not_raised() -> None:
    made = forecast_study([Run("a", config_of(local={"learning_rate": 1e30}))])
    assert any("a probe of a few steps did not stay finite: round 1" in caution for caution in made.cautions)


def test_few_seeds_for_several_arms_are_said_once() -> None:
    runs = [Run(arm, config_of(rounds=rounds)) for arm, rounds in (("a", 3), ("b", 4))]
    assert [
        caution for caution in forecast_study(runs).cautions if caution.startswith("seeds: 1 decide nothing")
    ]


def test_a_sentence_about_some_arms_names_them() -> None:
    seeds = [0, 1, 2]
    plain = [Run("plain", config_of(seed=seed)) for seed in seeds]
    small = [Run("small", config_of(seed=seed, local={"batch_size": 300})) for seed in seeds]
    (caution,) = forecast_study([*plain, *small]).cautions
    assert caution.endswith("[small]")
