"""Participation: the contract of each law, and rounds in which nobody takes part or some clients are lost."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from federated.config.anchors import anchor_overrides
from federated.extension_points.kinds import SAMPLING
from federated.forecast import forecast_study
from federated.foundation.errors import BadInput, OwnCodeFailed, readable
from federated.foundation.randomness import Purpose, generator
from federated.networks import NETWORKS, round_seconds
from federated.participation import (
    PARTICIPATION,
    Cohort,
    Participation,
    Population,
    SamplingLaw,
    all_heard,
)
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import cohorts, sample_cohort
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

ROUNDS = 2000
POPULATION = Population(12, np.array([0, 1, 3, 4, 5, 7, 8, 9, 10, 11]), 4, 0.4, ROUNDS)
NUMBERS = partial(generator, 3, Purpose.COHORT)


class Row(NamedTuple):
    """A way of stating a registered law, and the mean and the variance of the number of clients in a round."""

    text: str
    law: SamplingLaw
    mean: float
    variance: float
    lost: float = 0.0


ROWS = (
    Row("uniform", SamplingLaw.FIXED_SIZE, 4, 0),
    Row("poisson", SamplingLaw.POISSON, 4, 10 * 0.4 * 0.6),
    Row("in_turn", SamplingLaw.OTHER, 4, 0),
    Row("unreliable(poisson, 0.3)", SamplingLaw.POISSON, 4, 10 * 0.4 * 0.6, lost=0.3),
    Row("unreliable(uniform, 0.3)", SamplingLaw.FIXED_SIZE, 4, 0, lost=0.3),
)
every_law = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.text)


def made(row: Row) -> Participation:
    participation: Participation = SAMPLING.bind(row.text).build()
    return participation


def drawn(participation: Participation, population: Population = POPULATION) -> list[Cohort]:
    memory, found = participation.init(population), []
    for done in range(population.rounds):
        memory, cohort = participation.draw(memory, done, population, NUMBERS)
        found.append(cohort)
    return found


def test_every_registered_law_has_a_row() -> None:
    assert {row.text.partition("(")[0] for row in ROWS} == set(PARTICIPATION)


@every_law
def test_cohorts_are_of_eligible_clients_each_once_in_order(row: Row) -> None:
    for cohort in drawn(made(row), POPULATION._replace(rounds=50)):
        assert np.isin(cohort.clients, POPULATION.eligible).all()
        assert (np.diff(cohort.clients) > 0).all()
        assert cohort.lost.dtype == bool
        assert len(cohort.lost) == len(cohort.clients)


@every_law
def test_every_client_takes_part_alike_and_as_often_as_stated(row: Row) -> None:
    participation, found = made(row), drawn(made(row))
    sizes = np.array([len(cohort.clients) for cohort in found])
    assert (participation.law, participation.expected(POPULATION)) == (row.law, row.mean)
    assert abs(sizes.mean() - row.mean) <= 5 * math.sqrt(row.variance / ROUNDS)
    assert abs(sizes.var() - row.variance) <= 0.2 * row.variance
    counts = np.bincount(np.concatenate([cohort.clients for cohort in found]), minlength=12)
    assert np.abs(counts[POPULATION.eligible] / ROUNDS - 0.4).max() <= 5 * math.sqrt(0.24 / ROUNDS)
    lost = sum(int(cohort.lost.sum()) for cohort in found)
    assert abs(lost / sizes.sum() - row.lost) <= 5 * math.sqrt(row.lost * (1 - row.lost) / sizes.sum())
    assert participation.losses == row.lost


def test_poisson_draws_clients_one_by_one() -> None:
    """No pair more often together than two coins; in a cohort of a fixed size, pairs are rarer."""
    together = np.zeros((12, 12))
    for cohort in drawn(made(ROWS[1])):
        together[np.ix_(cohort.clients, cohort.clients)] += 1
    pairs = together[np.ix_(POPULATION.eligible, POPULATION.eligible)][np.triu_indices(10, 1)] / ROUNDS
    assert abs(pairs.mean() - 0.16) <= 5 * math.sqrt(0.16 * 0.84 / ROUNDS / 45 * 3)
    fewer = made(ROWS[1]).draw({}, 0, POPULATION._replace(eligible=np.array([0, 3])), NUMBERS)[1]
    whole = made(ROWS[1]).draw({}, 0, POPULATION, NUMBERS)[1]
    assert set(fewer.clients) == set(whole.clients) & {0, 3}


def test_the_uniform_cohort_is_the_front_of_one_shuffle() -> None:
    setup = prepare(config_of(clients=9, cohort={"size": 4}, partitioner="dirichlet(0.1)"))
    for done in range(4):
        order = generator(setup.config.seed, Purpose.COHORT, done).permutation(9)
        with_examples = [client for client in order.tolist() if setup.federation.sizes[client]]
        assert sample_cohort(setup, done).tolist() == sorted(with_examples[:4])


def test_turns_of_a_federated_run_are_as_many_as_the_cohort() -> None:
    few = POPULATION._replace(rounds=2, size=3)
    turns = [cohort.clients for cohort in drawn(PARTICIPATION["in_turn"](), few)]
    assert [len(turn) for turn in turns] == [3, 3]
    assert len(set(np.concatenate(turns).tolist())) == 6
    assert sum(len(cohort.clients) for cohort in drawn(PARTICIPATION["in_turn"](reach_all=True), few)) == 10


def fixed(*each: tuple[list[int], list[bool]]) -> Participation:
    """These cohorts, one after another."""

    def draw(memory: Any, done: int, population: Population, numbers: Any) -> tuple[Any, Cohort]:
        clients, lost = each[done % len(each)]
        return memory, Cohort(np.array(clients, np.int64), np.array(lost, bool))

    return Participation(draw, SamplingLaw.OTHER, lambda population: 1.0, losses=0.5)


class Ran(NamedTuple):
    """A run, and the metrics of each of its rounds."""

    state: RunState
    setup: Setup
    metrics: list[dict[str, float]]


def goes_on(state: RunState, setup: Setup, until: int) -> Ran:
    found: list[dict[str, float]] = []
    after = train_rounds(state, setup, until, measured=lambda state, metrics: found.append(metrics))
    return Ran(after, setup, found)


def run(participation: Participation, rounds: int = 1, **changes: object) -> Ran:
    setup = prepare(config_of(rounds=rounds, **changes))
    worker = replace(setup.worker, parts=setup.parts._replace(participation=participation))
    setup = replace(setup, worker=worker)
    return goes_on(initial_state(setup), setup, rounds)


@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
@pytest.mark.parametrize("algorithm", ["fedavg", "fedadam", "scaffold"])
def test_a_round_without_clients_changes_nothing_and_costs_nothing(downlink: str, algorithm: str) -> None:
    """Also not later: the rounds after it are those of a run that did not have it."""
    both, nobody = ([0, 1], [False, False]), (list[int](), list[bool]())
    changes = {"algorithm": algorithm, "compression": {"downlink": downlink}, "local": {"batch_size": None}}
    state, setup, metrics = run(fixed(both, nobody, both), 2, **changes)
    first, *_ = run(fixed(both), 1, **changes)
    assert torch.equal(state.parameters, first.parameters)
    assert (state.uplink_bytes, state.downlink_bytes) == (first.uplink_bytes, first.downlink_bytes)
    assert all(
        torch.equal(state.server["algorithm"][name], value)
        for name, value in first.server.get("algorithm", {}).items()
    )
    silent = metrics[1]
    assert silent["train/cohort_clients"] == silent["communication/uplink_bytes"] == 0
    assert silent["communication/downlink_bytes"] == silent["train/update_norm"] == 0
    assert "train/loss" not in silent
    assert round_seconds(NETWORKS["4g"](), silent, 0, 2) == 0
    third, second = goes_on(state, setup, 3).metrics[0], run(fixed(both), 2, **changes).metrics[1]
    assert third["communication/downlink_bytes"] == second["communication/downlink_bytes"]


@pytest.mark.parametrize("aggregator", ["mean", "median"])
@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_lost_clients_cost_the_downlink_alone_and_the_mean_is_over_the_others(
    aggregator: str, weighting: str
) -> None:
    changes = {
        "aggregator": aggregator,
        "cohort": {"weighting": weighting},
        "compression": {"uplink": "error_feedback(top_k(0.1))"},
    }
    lossy, _, found = run(fixed(([0, 1, 4], [False, True, False])), 2, **changes)
    plain, *_ = run(fixed(([0, 4], [False, False])), 2, **changes)
    assert torch.equal(lossy.parameters, plain.parameters)
    assert lossy.uplink_bytes == plain.uplink_bytes
    assert lossy.downlink_bytes * 2 == plain.downlink_bytes * 3
    assert set(lossy.clients["uplink"]) == {0, 4}
    assert [metrics["train/lost_clients"] for metrics in found] == [1, 1]
    assert found[0]["train/cohort_clients"] == 3


def test_a_round_whose_clients_are_all_lost_costs_the_downlink_alone() -> None:
    state, setup, metrics = run(fixed(([0, 2], [True, True])), 1)
    assert torch.equal(state.parameters, setup.initial_parameters)
    assert state.uplink_bytes == 0 < state.downlink_bytes
    assert "train/loss" not in metrics[0]


def alternating() -> Participation:
    """Remembers how many rounds there were, and lets the clients of one parity take part."""

    def draw(memory: Any, done: int, population: Population, numbers: Any) -> tuple[Any, Cohort]:
        eligible = population.eligible
        return {"turns": memory["turns"] + 1}, all_heard(eligible[eligible % 2 == int(memory["turns"]) % 2])

    return Participation(
        draw, SamplingLaw.OTHER, lambda population: 3.0, init=lambda population: {"turns": torch.zeros(())}
    )


def test_a_law_remembers_at_the_server_and_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    state, setup, _ = run(alternating(), 4)
    assert [cohort.clients.tolist() for cohort in cohorts(setup)] == [[0, 2, 4], [1, 3, 5]] * 2
    assert sample_cohort(setup, 3).tolist() == [1, 3, 5]
    assert float(state.server["participation"]["turns"]) == 4
    half = train_rounds(initial_state(setup), setup, 2)
    save(Course(half), tmp_path / "half", {})
    again = train_rounds(load(tmp_path / "half", {}, torch.device("cpu")).state, setup, 4)
    assert torch.equal(again.parameters, state.parameters)
    assert sorted(again.clients.get("uplink", {})) == sorted(state.clients.get("uplink", {}))


@pytest.mark.parametrize(
    "sampling", ["poisson", "unreliable(poisson, 0.3)", "unreliable(uniform, 0.3)", "in_turn"]
)
@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
def test_the_bytes_of_a_forecast_are_those_of_the_run(sampling: str, downlink: str) -> None:
    """Who takes part, and who is lost, is known beforehand; at a rate of a sixth some rounds have nobody."""
    config = config_of(
        cohort={"size": 1, "sampling": sampling}, rounds=12, compression={"downlink": downlink}
    )
    setup = prepare(config)
    state = train_rounds(initial_state(setup), setup, config.rounds)
    (arm,) = forecast_study([Run("arm", config)]).arms
    assert arm.uplink.expected == state.uplink_bytes
    assert arm.downlink.expected == state.downlink_bytes
    empty = [len(cohort.clients) == 0 for cohort in cohorts(setup)]
    assert any(empty) == ("poisson" in sampling)


def test_poisson_takes_the_stated_fraction_and_else_the_size_over_all_with_examples() -> None:
    def expected(cohort: dict[str, object]) -> float:
        setup = prepare(config_of(clients=6, cohort={**cohort, "sampling": "poisson"}))
        found = [
            len(cohort.clients)
            for cohort in cohorts(
                setup.with_config(config_of(rounds=400, cohort={**cohort, "sampling": "poisson"}))
            )
        ]
        return float(np.mean(found))

    assert expected({"fraction": 0.05}) == pytest.approx(6 * 0.05, abs=0.15)
    assert expected({"size": 3}) == pytest.approx(3, abs=0.4)
    assert expected({}) == 6


def key(**cohort: object) -> str:
    return config_of(cohort={"size": 3, **cohort}).run_key()


def test_uniform_sampling_leaves_keys_of_runs_as_they_were_and_others_do_not() -> None:
    assert key() == key(sampling="uniform") == "b9e39dc402c4"
    assert len({key(), key(sampling="poisson"), key(sampling="in_turn")}) == 3
    anchors = {config_of(cohort={"size": 3, "sampling": s}).anchor_key() for s in ("uniform", "poisson")}
    assert anchors == {config_of().anchor_key()}


def test_anchors_undo_the_sampling() -> None:
    for arm in ({"cohort.sampling": "poisson"}, {"cohort": {"size": 2, "sampling": "poisson"}}, {}):
        overrides = anchor_overrides("local", arm)
        cohort = overrides.get("cohort", {"sampling": overrides.get("cohort.sampling")})
        assert cohort["sampling"] == "uniform"
    with pytest.raises(ValueError, match=r"cohort\.sampling would have no effect"):
        config_of(training="local", cohort={"sampling": "poisson"})


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ("unreliable(uniform, 0)", "cohort.sampling: unreliable: share must be between 0 and 1, got 0.0"),
        ("unreliable(unreliable(uniform, 0.1), 0.1)", "inner must not be unreliable itself"),
        ("sometimes", "cohort.sampling: there is no sampling 'sometimes'"),
    ],
)
def test_bad_sampling_names_the_field_the_value_and_what_is_allowed(sampling: str, message: str) -> None:

    with pytest.raises(ValueError, match="sampling") as raised:
        config_of(cohort={"sampling": sampling})
    assert message in readable(raised.value)


OWN = """
import numpy as np
import torch
from federated.participation import Cohort, Participation, SamplingLaw, all_heard

def law(draw):
    return Participation(draw, SamplingLaw.OTHER, lambda population: 1.0)
def sound() -> Participation:
    return law(lambda memory, done, population, numbers: (memory, all_heard(population.eligible[:2])))
def outsiders() -> Participation:
    return law(lambda memory, done, population, numbers: (memory, all_heard(np.array([99]))))
def twice() -> Participation:
    return law(lambda memory, done, population, numbers: (memory, all_heard(np.array([1, 1]))))
def alone() -> Participation:
    return law(lambda memory, done, population, numbers: population.eligible[:2])
def moody(calls=[]) -> Participation:
    def draw(memory, done, population, numbers):
        calls.append(1)
        return memory, all_heard(population.eligible[: 1 + len(calls) % 2])
    return law(draw)
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("outsiders", "draw must choose eligible clients"),
        ("twice", "draw must list its clients in rising order, each once"),
        ("alone", "draw must return (memory, Cohort)"),
        ("moody", "returns something else when it is called again"),
    ],
)
def test_a_law_of_ones_own_is_held_to_the_contract(
    factory: str, message: str, own: Callable[[str], str]
) -> None:
    with pytest.raises((BadInput, OwnCodeFailed), match=re.escape(message)):
        prepare(config_of(cohort={"sampling": f"{own(OWN)}:{factory}"}))


def test_a_law_of_ones_own_runs(own: Callable[[str], str]) -> None:
    setup = prepare(config_of(cohort={"sampling": f"{own(OWN)}:sound"}))
    assert goes_on(initial_state(setup), setup, 1).metrics[0]["train/cohort_clients"] == 2


def test_a_law_of_a_person_s_own_is_tried_on_the_run_s_own_clients(own):
    """It has an entry for each of the 6 clients, such as a trace of who is reachable."""
    law = own(
        "import numpy as np\n"
        "from federated.participation import Participation, SamplingLaw, all_heard\n"
        "REACHABLE = np.array([1, 0, 1, 1, 0, 1], bool)\n"
        "def trace():\n"
        "    def draw(memory, done, population, numbers):\n"
        "        return memory, all_heard(np.flatnonzero(population.holds_examples & REACHABLE))\n"
        "    return Participation(draw, SamplingLaw.OTHER, lambda population: 4.0)\n"
    )
    setup = prepare(config_of(clients=6, cohort={"sampling": f"{law}:trace"}))
    assert [each.clients.tolist() for each in islice(cohorts(setup), 2)] == [[0, 2, 3, 5]] * 2


@every_law
@pytest.mark.parametrize("size", [1, 3, 4, 7, 10])
def test_no_client_takes_part_more_often_or_sooner_again_than_stated(row: Row, size: int) -> None:
    participation, population = made(row), POPULATION._replace(size=size, share=size / 10, rounds=40)
    turns: dict[int, list[int]] = {}
    for done, cohort in enumerate(drawn(participation, population)):
        for client in cohort.clients.tolist():
            turns.setdefault(client, []).append(done)
        most = max((len(each) for each in turns.values()), default=0)
        assert most <= participation.most(population, done + 1)
    gaps = np.concatenate([np.diff(each) for each in turns.values()])
    assert gaps.min() >= participation.apart(population)


def test_in_turn_states_as_often_and_as_soon_as_it_happens() -> None:
    """Ten clients, four a round: ceil(4 r / 10) turns in r rounds, two rounds from one turn to the next."""
    participation, population = made(Row("in_turn", SamplingLaw.OTHER, 4, 0)), POPULATION
    assert [participation.most(population, rounds) for rounds in (1, 2, 3, 5, 6, 25)] == [1, 1, 2, 2, 3, 10]
    assert participation.apart(population) == 2
