"""The race between two ways: against paces that are made up, and what it calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import Engine
from federated.local_training import engine
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.race import Race, quicker
from federated.machine.torch_threads import keeps_bits


def _raced(paces: Callable[[int, int], float], rounds: int, race: Race | None = None) -> list[int]:
    """The way of each round; paces: (way, round) -> pace."""
    race, ways = race or Race(), []
    for done in range(rounds):
        ways.append(race.way)
        race.told(paces(race.way, done))
    return ways


def test_both_are_tried_and_the_quicker_stays():
    assert _raced(lambda way, done: [2.0, 1.0][way], 40) == [0, 0, 0] + [1] * 37
    assert _raced(lambda way, done: [1.0, 2.0][way], 40) == [0, 0, 0, 1, 1, 1] + [0] * 34


def test_a_close_race_is_left_to_the_first():
    assert _raced(lambda way, done: [1.0, 0.97][way], 20)[6:] == [0] * 14


def test_the_first_round_of_each_warms_up():
    slow_at_first = {0: 9.0, 3: 2.5}
    assert _raced(lambda way, done: slow_at_first.get(done, [1.0, 0.5][way]), 20)[6:] == [1] * 14


def test_what_is_hopeless_is_left_after_one_round():
    assert _raced(lambda way, done: [1.0, 9.0][way], 20) == [0, 0, 0, 1, 1] + [0] * 15


def test_another_program_that_comes_and_goes_is_noticed():
    def paces(way: int, done: int) -> float:
        return [2.0, 5.0][way] if 30 <= done < 60 else [1.5, 1.0][way]

    ways = _raced(paces, 120)
    assert ways[6:30] == [1] * 24
    assert ways[40:60] == [0] * 20
    assert ways[100:] == [1] * 20


def test_tries_for_nothing_become_rare():
    """A pace that will not keep still: the other way, always slower, is tried less and less often."""
    numbers = np.random.default_rng(0)
    ways = _raced(lambda way, done: [1.0, 2.0][way] * 2.0 ** numbers.uniform(-2, 2), 4000)
    assert sum(ways[:1000]) > 4 * sum(ways[3000:])
    assert sum(ways[3000:]) < 20


def test_a_trainer_goes_both_ways_with_one_result(local_work):
    work = local_work("mlp", dtype=torch.float32, arguments={"hidden": (70,)}, batch_size=4)
    cohort = list(range(len(work.clients)))
    alone = local_trainer(work, Engine(name="auto"), cohort, 1)
    race = engine._race(f"{linear_stack(work)} {work.local} {work.inputs.dtype}", 2)
    train, ways = local_trainer(work, Engine(name="auto"), cohort, 2), []
    for done in range(6):
        ways.append(race.way)
        updates, expected = (each(work.model.vector.clone(), cohort, done) for each in (train, alone))
        assert torch.equal(updates.deltas, expected.deltas)
        assert torch.equal(updates.losses, expected.losses)
    assert ways[:5] == ([0, 0, 0, 1, 1] if keeps_bits() else [0] * 5)


def test_rounds_of_given_steps_are_no_part_of_the_race(local_work):
    work = local_work("mlp")
    called = []

    def way(name: str):
        train = loop_trainer(*work)
        return lambda *arguments: called.append(name) or train(*arguments)

    train = quicker(work, (way("one"), way("other")), Race())
    for done in range(9):
        train(work.model.vector.clone(), [3, 5], done, LocalTerms(steps=np.array([1, 2])))
    assert called == ["one"] * 9
