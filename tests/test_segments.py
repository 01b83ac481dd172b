"""Segments: who is told what and when, where a run ends, and the same numbers as the bare loop."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from federated.evaluation.evaluate import evaluate
from federated.foundation.errors import Diverged
from federated.metrics import Metrics
from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.history import History
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import Observers, Steps, advance, begun, ending, segment_ends, train
from federated.segments import evaluate as evaluated
from tests.conftest import config_of


class Told:
    """Observers that write down what they are told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def observers(self) -> Observers:
        return Observers(
            lambda course: self.events.append(("display", course.round)),
            lambda history: self.events.append(("record", len(history))),
            lambda course: self.events.append(("keep", course.round)),
        )


def started(**changes: Any) -> tuple[Course, Setup, Told]:
    setup, told = prepare(config_of(**changes)), Told()
    return begun(Course(initial_state(setup)), setup, told.observers()), setup, told


def without_times(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if not name.startswith("system/")}


def test_segments_are_the_bare_loop_and_its_evaluations() -> None:
    course, setup, told = started(rounds=5, evaluation={"every": 2})
    config = setup.config
    course = advance(
        course, setup, list(segment_ends(config, 0)), told.observers(), ending(config, setup.stop)
    )
    state = initial_state(setup)
    for last in (2, 4, 5):
        state = train_rounds(state, setup, last)
        found = [metrics for at, metrics in course.history if at == last and "train/loss" not in metrics]
        assert [without_times(each) for each in found] == [evaluate(state, setup)]
    assert torch.equal(course.state.parameters, state.parameters)
    assert [at for at, _ in course.history] == [0, 1, 2, 2, 3, 4, 4, 5, 5]
    assert course.latest().keys() == course.history[-1][1].keys() | course.history[-2][1].keys()


def test_observers_are_told_in_order() -> None:
    course, setup, told = started(rounds=3, evaluation={"every": 2})
    assert told.events == [("record", 1)]
    told.events.clear()
    advance(course, setup, [2, 3], told.observers(), ending(setup.config, setup.stop))
    assert told.events == [
        *[("display", 1), ("display", 2), ("record", 3), ("record", 4), ("keep", 2), ("display", 2)],
        *[("display", 3), ("record", 5), ("record", 6), ("keep", 3), ("display", 3)],
    ]


def test_a_course_that_has_begun_is_not_evaluated_again() -> None:
    course, setup, told = started(rounds=1)
    assert course.round == 0
    assert {"heterogeneity/label_divergence_bits", "generalisation/test_accuracy"} & course.history[0][
        1
    ].keys()
    assert begun(course, setup, told.observers()) is course


def test_a_run_goes_no_further_than_the_segment_after_which_it_has_ended() -> None:
    stop = {"metric": "generalisation/test_accuracy", "target": 0.0}
    course, setup, told = started(rounds=6, stop=stop, evaluation={"every": 2})
    course = advance(course, setup, [2, 4, 6], told.observers(), ending(setup.config, setup.stop))
    assert course.round == 2
    assert "reached" in str(ending(setup.config, setup.stop)(course))


def test_what_was_measured_before_a_failure_is_recorded() -> None:
    course, setup, told = started(rounds=6, local={"epochs": 1, "batch_size": 16, "learning_rate": 1e30})
    recorded: list[int] = []

    def record(history: Any) -> None:
        recorded[:] = [at for at, _ in history]

    observers = told.observers()._replace(record=record)
    with pytest.raises(Diverged, match=r"round \d: the update of client") as caught:
        advance(course, setup, [6], observers, ending(setup.config, setup.stop))
    failed = int(str(caught.value).split(":")[0].removeprefix("round "))
    assert recorded == [0, *range(1, failed)] == [at for at, _ in caught.value.history]


def test_steps_can_be_run_by_others() -> None:
    course, setup, told = started(rounds=2, evaluation={"every": 1})
    by: list[str] = []

    def training(*arguments: Any) -> Course:
        by.append("train")
        return train(*arguments)

    def evaluating(course: Course, setup: Setup) -> Metrics:
        by.append("evaluate")
        return evaluated(course, setup)

    ends = [1, 2]
    steps = Steps(training, evaluating)
    mine = advance(course, setup, ends, told.observers(), ending(setup.config, setup.stop), steps)
    assert by == ["train", "evaluate"] * 2
    plain = advance(course, setup, ends, told.observers(), ending(setup.config, setup.stop))
    assert [without_times(m) for _, m in mine.history] == [without_times(m) for _, m in plain.history]


def test_no_round_is_given_the_history() -> None:
    assert "history" not in {field.name for field in fields(RunState)}
    course, setup, _ = started(rounds=2)
    other = replace(course, history=History([(0, {"nonsense": 1.0})]))
    first, second = (train(each, setup, 2).state for each in (course, other))
    assert torch.equal(first.parameters, second.parameters)
