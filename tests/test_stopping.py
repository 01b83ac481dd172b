"""When a run ends early, and where its rounds are cut: worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from federated.config.run import RunConfig, Stop
from federated.metrics import Metrics
from federated.run.history import History
from federated.segments.ends import segment_ends
from federated.segments.stopping import StopRule

ACCURACY, LOSS, TRAINING = "generalisation/test_accuracy", "generalisation/test_loss", "train/loss"


def evaluated(metric: str, *values: float) -> list[tuple[int, Metrics]]:
    """A history with one evaluation every 5 rounds."""
    return [(5 * at, {metric: value}) for at, value in enumerate(values)]


def reason_to_stop(stop: Stop, history: list[tuple[int, Metrics]]) -> str | None:
    """Asked once, of the whole history; a run asks after each evaluation, which must say the same."""
    rule = StopRule(stop)
    each = [rule.reason(history[: read + 1]) for read in range(len(history))]
    asked_once = StopRule(stop).reason(history)
    assert not each or each[-1] == asked_once
    return asked_once


def config(rounds: int, every: int) -> RunConfig:
    return RunConfig(dataset="linear", model="linear", clients=2, rounds=rounds, evaluation={"every": every})


@pytest.mark.parametrize(
    ("rounds", "every", "done", "ends"),
    [
        (10, 5, 0, [5, 10]),
        (12, 5, 0, [5, 10, 12]),
        (3, 5, 0, [3]),
        (5, 5, 0, [5]),
        (4, 1, 0, [1, 2, 3, 4]),
        (1, 1, 0, [1]),
        (12, 5, 5, [10, 12]),
        (12, 5, 7, [10, 12]),  # went on in the middle of a segment
        (12, 5, 10, [12]),
        (12, 5, 11, [12]),
        (12, 5, 12, []),
        (10, 5, 10, []),
        (10, 5, 9, [10]),
        (10, 20, 3, [10]),
        (5, 5, 40, []),  # a checkpoint beyond the last round
    ],
)
def test_rounds_are_cut_at_multiples_and_at_the_end(
    rounds: int, every: int, done: int, ends: list[int]
) -> None:
    assert list(segment_ends(config(rounds, every), done)) == ends


def test_going_on_from_any_round_cuts_where_an_uninterrupted_run_does() -> None:
    whole = list(segment_ends(config(23, 4), 0))
    for done in range(24):
        assert list(segment_ends(config(23, 4), done)) == [end for end in whole if end > done]


@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([0.5], 1, False),
        ([0.5, 0.6], 1, False),
        ([0.5, 0.5], 1, True),  # equal is no improvement
        ([0.5, 0.4], 1, True),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.45], 2, True),
        ([0.5, 0.4, 0.51], 2, False),
        ([0.5, 0.6, 0.55, 0.58], 2, True),
        ([0.5, 0.6, 0.55, 0.58], 3, False),  # 0.6 was better than 0.5
        ([0.9, 0.1, 0.2, 0.3, 0.4], 4, True),  # rises, but never above the first
        ([0.1, 0.2, 0.3, 0.4], 1, False),
    ],
)
def test_patience_of_a_rising_metric(values: list[float], patience: int, stops: bool) -> None:
    reason = reason_to_stop(Stop(metric=ACCURACY, patience=patience), evaluated(ACCURACY, *values))
    expected = f"{ACCURACY} converged: no improvement above 0 in {patience} evaluations"
    assert reason == (expected if stops else None)


@pytest.mark.parametrize("metric", [LOSS, "generalisation/test_mse", "generalisation/unseen_mae"])
@pytest.mark.parametrize(
    ("values", "patience", "stops"),
    [
        ([2.0, 1.0], 1, False),
        ([1.0, 1.0], 1, True),
        ([1.0, 1.5], 1, True),
        ([1.0, 1.5, 0.9], 2, False),
        ([1.0, 1.5, 1.1], 2, True),
    ],
)
def test_patience_of_a_falling_metric(metric: str, values: list[float], patience: int, stops: bool) -> None:
    assert (
        reason_to_stop(Stop(metric=metric, patience=patience), evaluated(metric, *values)) is not None
    ) == stops


@pytest.mark.parametrize(
    ("values", "stops"),
    [
        ([0.50, 0.52], True),
        ([0.50, 0.5625], False),
        ([0.50, 0.53125], True),  # exactly the threshold is no improvement above it
        ([0.50, 0.52, 0.54, 0.56], True),  # each step counts from the best before it
        ([0.50, 0.52, 0.60], False),
    ],
)
def test_an_improvement_must_exceed_the_minimum(values: list[float], stops: bool) -> None:
    stop = Stop(metric=ACCURACY, patience=1, min_improvement=0.03125)
    assert (reason_to_stop(stop, evaluated(ACCURACY, *values)) is not None) == stops


def test_a_minimum_improvement_counts_downwards_for_losses() -> None:
    stop = Stop(metric=LOSS, patience=1, min_improvement=0.25)
    assert reason_to_stop(stop, evaluated(LOSS, 2.0, 1.875)) is not None
    assert reason_to_stop(stop, evaluated(LOSS, 2.0, 1.5)) is None


@pytest.mark.parametrize(
    ("metric", "target", "values", "stops"),
    [
        (ACCURACY, 0.9, [0.5, 0.89], False),
        (ACCURACY, 0.9, [0.5, 0.9], True),
        (ACCURACY, 0.9, [0.95, 0.85], False),  # the latest value counts
        (ACCURACY, 0.9, [0.95], True),  # the initial model may do
        (LOSS, 0.1, [0.5, 0.11], False),
        (LOSS, 0.1, [0.5, 0.1], True),
        (LOSS, 0.1, [0.5, 0.05], True),
        ("generalisation/test_r2", 0.5, [0.4], False),
        ("generalisation/test_r2", 0.5, [0.6], True),
    ],
)
def test_a_target_is_reached_from_its_own_side(
    metric: str, target: float, values: list[float], stops: bool
) -> None:
    reason = reason_to_stop(Stop(metric=metric, target=target), evaluated(metric, *values))
    assert reason == (f"{metric} reached {values[-1]:.6g} (target {target:.6g})" if stops else None)


def test_a_target_comes_before_patience() -> None:
    reason = reason_to_stop(Stop(metric=LOSS, patience=1, target=0.5), evaluated(LOSS, 0.25, 0.25))
    assert reason == f"{LOSS} reached 0.25 (target 0.5)"


def test_without_a_value_a_run_goes_on() -> None:
    assert reason_to_stop(Stop(metric=LOSS, patience=1), []) is None
    assert reason_to_stop(Stop(metric=LOSS, patience=1, target=9), evaluated(ACCURACY, 1.0, 1.0, 1.0)) is None


def test_a_training_metric_is_read_at_evaluations_only() -> None:
    """Rounds 1 and 2 report training losses; an evaluation follows round 2, round 4, round 6."""
    history: list[tuple[int, Metrics]] = [(0, {ACCURACY: 0.1})]
    for done, loss in enumerate([9.0, 5.0, 5.0, 4.0, 3.0, 4.0], start=1):
        history.append((done, {TRAINING: loss}))
        if done % 2 == 0:
            history.append((done, {ACCURACY: 0.1}))
    stop = Stop(metric=TRAINING, patience=1)
    assert reason_to_stop(stop, history[:4]) is None  # one value: 5
    assert reason_to_stop(stop, history[:7]) is None  # 5, 4
    assert reason_to_stop(stop, history) is not None  # 5, 4, 4; the 3 between was never looked at
    assert reason_to_stop(Stop(metric=TRAINING, target=3.0), history) is None
    assert reason_to_stop(Stop(metric=TRAINING, target=4.0), history) is not None


class Counted(dict[str, float]):
    """Metrics that count how often they are looked at."""

    looks = 0

    def get(self, name: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(name, default)


def test_a_rule_looks_at_each_entry_once_however_many_rounds_there_are() -> None:
    rule, history, Counted.looks = StopRule(Stop(metric=LOSS, patience=3)), History(), 0
    for done in range(2000):
        history = history.then((done, Counted({LOSS: 1.0 / (done + 1)})))
        assert rule.reason(history) is None
    assert Counted.looks == 2000
    reasons = []
    for done in range(2000, 2003):
        history = history.then((done, Counted({LOSS: 1.0})))
        reasons.append(rule.reason(history))
    assert reasons == [None, None, f"{LOSS} converged: no improvement above 0 in 3 evaluations"]


def test_a_rule_asked_about_a_second_try_forgets_the_first() -> None:
    rule, start = StopRule(Stop(metric=LOSS, patience=1)), History([(0, {LOSS: 1.0})])
    first = start.then((1, {LOSS: 0.1})).then((2, {LOSS: 0.0}))
    assert rule.reason(first) is None
    assert rule.reason(start) is None
    assert rule.reason(start.then((1, {LOSS: 0.5}))) is None
    assert rule.reason(start.then((1, {LOSS: 1.5}))) is not None


def test_rounds_without_a_loss_are_no_lack_of_improvement() -> None:
    """Nobody was heard in the last two segments, so they have no loss."""
    stop = Stop(metric=TRAINING, patience=2)
    history: list[tuple[int, Metrics]] = [
        (1, {TRAINING: 2.0}), (1, {ACCURACY: 0.1}), (2, {TRAINING: 1.5}), (2, {ACCURACY: 0.1}),
        (3, {ACCURACY: 0.1}), (4, {ACCURACY: 0.1}),
    ]  # fmt: skip
    assert reason_to_stop(stop, history) is None
    for done in (5, 6):
        history += [(done, {TRAINING: 1.5}), (done, {ACCURACY: 0.1})]
    assert "converged" in str(reason_to_stop(stop, history))
