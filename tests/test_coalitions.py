"""Coalitions of sites: which are trained, what each is worth by a brute-force computation, and what they leave."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.coalitions.game import coalitions_of, orders, sampled_shapley, shapley
from federated.coalitions.training import CoalitionScores, client_scores, coalition_scores, site_measure
from federated.config.measuring.coalitions import Coalitions
from federated.config.run import RunConfig
from federated.forecast.probe import Probe
from federated.forecast.seconds import coalitions as forecast_module
from federated.forecast.seconds.coalitions import coalition_seconds, of_coalitions
from federated.forecast.traffic.amounts import Amount
from federated.foundation.errors import BadInput
from federated.report import Report
from federated.report.findings.results import RunResult
from federated.report.joining.in_words import joining_sentences, joining_table
from federated.report.joining.picture import joining_picture
from federated.report.joining.shapley import game_of
from federated.rounds import train_rounds
from federated.run.preparing.training.coalitions import check_coalitions, coalition_config
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from tests.test_joining import SITES, a_study

FIVE = range(5)
NOTHING_SENT = Amount(0.0, 0.0, 0.0)


@cache
def value(coalition: frozenset[int]) -> Fraction:
    """A game without any symmetry, in exact fractions."""
    squares = sum((at + 1) ** 2 for at in coalition)
    together = 7 if {0, 3} <= coalition else 0
    return Fraction(squares + together + len(coalition) ** 3, 10) - (3 if 4 in coalition else 0)


def brute_force(player: int) -> Fraction:
    """The mean over all 120 orders of what a player adds to those before it: the definition, in fractions."""
    added = Fraction(0)
    for order in itertools.permutations(FIVE):
        before = frozenset(order[: order.index(player)])
        added += value(before | {player}) - value(before)
    return added / 120


def scores() -> dict[frozenset[int], np.ndarray]:
    return {each: np.array([float(value(each)), -1.0]) for each in coalitions_of(5, None, seed=0)}


def test_exact_values_of_five_sites_are_those_of_brute_force() -> None:
    found = shapley(scores(), 5)
    assert found[:, 0] == pytest.approx([float(brute_force(player)) for player in FIVE], abs=1e-12)
    assert found[:, 1] == pytest.approx(np.zeros(5), abs=1e-12)
    assert float(found[:, 0].sum()) == pytest.approx(float(value(frozenset(FIVE)) - value(frozenset())))


def test_all_orders_give_the_exact_values_and_a_sample_their_error() -> None:
    every = list(itertools.permutations(FIVE))
    found = sampled_shapley(scores(), every)
    assert found.values[:, 0] == pytest.approx([float(brute_force(player)) for player in FIVE], abs=1e-12)
    drawn = orders(5, 200, seed=3)
    assert drawn[:50] == orders(5, 50, seed=3)
    assert set(coalitions_of(5, 200, 3)) >= {frozenset(order[:2]) for order in drawn}
    some = sampled_shapley({each: scores()[each] for each in coalitions_of(5, 200, 3)}, drawn)
    assert some.errors is not None
    apart = some.values[:, 0] - [float(brute_force(player)) for player in FIVE]
    assert np.all(np.abs(apart) <= 5 * some.errors[:, 0] + 1e-9)
    assert 0 < some.errors[0, 0] < 0.5


@pytest.mark.parametrize(("players", "number", "expected"), [(3, None, 8), (8, None, 256), (9, 1, 10)])
def test_the_number_of_coalitions(players: int, number: int | None, expected: int) -> None:
    found = coalitions_of(players, number, seed=0)
    assert len(found) == len(set(found)) == expected
    assert found[0] == frozenset()
    assert found[-1] == frozenset(range(players))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunState, Setup]:
    path = tmp_path_factory.mktemp("coalitions") / "sites.csv"
    numbers = np.random.default_rng(0).normal(size=(90, 2))
    rows = [f"{x:.3f},{z:.3f},{SITES[at % 3]},{'ny'[int(x + z > 0)]}" for at, (x, z) in enumerate(numbers)]
    path.write_text("\n".join(["x,z,site,y", *rows]), encoding="utf-8")
    setup = prepare(config(path))
    return train_rounds(initial_state(setup), setup, 2), setup


def config(path: Path, **changes: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "dataset": {"name": "table", "path": str(path), "target": "y", "client": "site"},
            "partitioner": "by_client",
            "model": "logistic",
            "rounds": 2,
            "holdout": {"client": 0.3},
            "coalitions": {"names": SITES},
            **changes,
        }
    )


def test_a_coalition_is_the_run_from_which_the_others_have_withdrawn(trained: tuple[RunState, Setup]) -> None:
    """Each is scored as a run of its own is, whether it trained in a stack or alone; one of nine examples may tip."""
    state, setup = trained
    found = coalition_scores(state, setup)
    assert found is not None
    assert len(found.scores) == 8
    measure = site_measure(setup.scoring)
    for without in (["Rome"], ["Oslo", "Ulm"]):
        members = [name for name in SITES if name not in without]
        alone = prepare(coalition_config(setup.config, members))
        assert alone.config.cohort.without == tuple(without)
        after = train_rounds(initial_state(alone), alone, 2)
        coalition = frozenset(SITES.index(name) for name in members)
        np.testing.assert_allclose(
            found.scores[coalition], client_scores(after, alone, measure), atol=1 / 9 + 1e-9
        )
    assert found.scores[frozenset(range(3))].tolist() == client_scores(state, setup, measure).tolist()
    start = client_scores(initial_state(setup), setup, measure)
    assert found.scores[frozenset()].tolist() == start.tolist()


def test_those_who_are_no_players_take_part_in_every_coalition(trained: tuple[RunState, Setup]) -> None:
    asked = trained[1].config.coalitions
    assert asked is not None
    two = trained[1].config.model_copy(
        update={"coalitions": asked.model_copy(update={"names": ("Oslo", "Ulm")})}
    )
    setup = trained[1].with_config(two)
    assert coalition_config(two, []).cohort.without == ("Oslo", "Ulm")
    assert of_coalitions(setup).startswith("sites.value: 3 coalitions of 2 sites are trained after each run")
    assert of_coalitions(trained[1]).startswith("sites.value: 6 coalitions of 3 sites")


def test_a_forecast_tries_some_coalitions_and_counts_those_that_take_long(
    trained: tuple[RunState, Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long: six coalitions, each with two rounds of ten seconds, one after another."""
    setup, tried = trained[1], list[int]()
    original = forecast_module.scored

    def scored(configs: Any, setup: Setup, rounds: int, measure: Any) -> Any:
        tried.append(rounds)
        yield from original(configs, setup, rounds, measure)

    monkeypatch.setattr(forecast_module, "scored", scored)
    costs = Probe(0.0, 0.0, 10.0, 0.0, NOTHING_SENT, NOTHING_SENT)
    assert coalition_seconds(setup, costs) == pytest.approx(6 * 2 * 10.0)
    assert tried == []
    assert coalition_seconds(setup, replace(costs, round_seconds=1e-3)) > 0
    assert tried == [1, 1, 3]
    assert (
        coalition_seconds(setup.with_config(setup.config.model_copy(update={"coalitions": None})), costs) == 0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coalitions": {"names": ["Oslo", "Rom"]}}, "coalitions.names: there is no client 'Rom'"),
        ({"holdout": {}}, "state holdout.client, such as 0.2"),
        ({"transport": "secure_aggregation(clip=0.5)"}, "coalitions: Oslo alone: "),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(
    trained: tuple[RunState, Setup], changes: dict[str, Any], message: str
) -> None:
    path = Path(str(trained[1].config.dataset.arguments["path"]))
    asked = config(path, **changes)
    with pytest.raises(BadInput) as error:
        check_coalitions(asked, prepare(asked).federation, prepare)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"names": [f"s{at}" for at in range(9)]}, "9 sites have 512 coalitions"),
        (
            {"names": [f"s{at}" for at in range(12)], "permutations": 99},
            "are up to 1,089 coalitions after each run",
        ),
    ],
)
def test_too_many_are_refused_with_their_number(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Coalitions.model_validate(asked)


GAME = {
    0: [0.1, 0.1, 0.1],
    1: [0.5, 0.3, 0.4],
    2: [0.2, 0.6, 0.1],
    4: [0.4, 0.3, 0.4],
    3: [0.5, 0.5, 0.3],
    5: [0.5, 0.3, 0.4],
    6: [0.4, 0.5, 0.3],
    7: [0.5, 0.4, 0.3],
}
"""Of Oslo (1), Rome (2) and Ulm (4), by the sum of who takes part: the scores on the examples of each."""


def with_game(run: RunResult, permutations: int | None = None) -> RunResult:
    found = {
        frozenset(at for at in range(3) if number >> at & 1): np.array(scores)
        for number, scores in GAME.items()
    }
    table = CoalitionScores(tuple(SITES), tuple(SITES), "accuracy", found).table()
    stated = {} if permutations is None else {"coalitions.permutations": str(permutations)}
    return replace(run, coalitions=table, parameters={**run.parameters, **stated})


def test_the_report_has_the_value_of_each_site_to_the_others() -> None:
    """Rome to the others, by hand, over its six orders: the mean score of Oslo and Ulm with it minus without it."""
    runs = [with_game(run) if run.arm == "s" else run for run in a_study(3)]
    game = game_of(runs[0])
    assert (game.players, game.clients, game.permutations) == (tuple(SITES), tuple(SITES), None)

    def others(number: int) -> float:
        return (GAME[number][0] + GAME[number][2]) / 2

    joins = [(0, 2)] * 2 + [(1, 3), (4, 6)] + [(5, 7)] * 2
    expected = float(np.mean([others(with_it) - others(without) for without, with_it in joins]))
    (found,) = Report("s", runs).joining
    values = {each.site: each for each in found.values}
    assert values["Rome"].others.estimate == pytest.approx(expected)
    assert values["Rome"].error is None
    assert joining_table([found]).columns[-1] == "Shapley value to the others"
    assert joining_picture([found]) is not None
    sampled = [with_game(run, 40) if run.arm == "s" else run for run in a_study(3)]
    (estimated,) = Report("s", sampled).joining
    rome = next(each for each in estimated.values if each.site == "Rome")
    assert rome.error is not None
    assert rome.others.estimate == pytest.approx(expected, abs=5 * rome.error)
    assert "sampling ±" in joining_table([estimated]).rows[1][-1]
    assert "Rome hurts the others" in " ".join(joining_sentences([estimated]))
