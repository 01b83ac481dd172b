"""What it takes to reach a target: hand-worked arms, and those that never get there."""

from typing import Any

import pytest

from federated.metrics.durations import unit_of
from federated.report import RunResult
from federated.report.costs.to_target import target_table, target_text, to_target
from federated.report.text.numbers_as_text import Spread

ACCURACY, LOSS = "generalisation/test_accuracy", "train/loss"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
SECONDS = "system/simulated_seconds_total"


def run(arm: str, seed: int, *accuracies: float, mb: float = 1.0, **changes: Any) -> RunResult:
    """Evaluated every second round; `mb` MB up, twice as much down and 10 simulated seconds a round."""
    history: list[tuple[int, dict[str, float]]] = [(0, {ACCURACY: accuracies[0]})]
    for number in range(1, 2 * len(accuracies) - 1):
        sent = {UP: mb * number * 1e6, DOWN: 2 * mb * number * 1e6, SECONDS: 10.0 * number, LOSS: 1 / number}
        history.append((number, sent | ({} if number % 2 else {ACCURACY: accuracies[number // 2]})))
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY}
    return RunResult("s", arm, seed, **{**fields, "history": tuple(history), **changes})


def test_a_hand_worked_arm():
    """Seed 0 is there at round 4, seed 1 at round 2, seed 2 never, seed 3 failed."""
    runs = [
        run("a", 0, 0.1, 0.5, 0.8, 0.7),
        run("a", 1, 0.1, 0.9, 0.9, 0.9),
        run("a", 2, 0.1, 0.2, 0.3, 0.7),
        run("a", 3, 0.1, 0.9, 0.9, 0.9, status="FAILED"),
    ]
    (row,) = to_target(runs, 0.8)
    assert (row.runs, row.reached) == (4, 2)
    assert row.rounds == Spread(3, pytest.approx(2**0.5), 2)
    assert row.uplink_mb.mean == 3
    assert row.downlink_mb.mean == 6
    assert row.seconds.mean == 30
    assert target_text([row]).rows == [
        ["a", "test accuracy ≥ 0.8", "2 of 4", "3.0 ± 1.4", "3.00 ± 1.41", "6.00 ± 2.83", "30.0 ± 14.1"]
    ]
    assert target_text([row]).note.endswith("2 runs did not reach it and are left out.")


def test_without_a_stated_target_it_is_95_percent_of_the_best_arms_mean_final_value():
    runs = [run("a", 0, 0.1, 0.7), run("a", 1, 0.1, 0.9), run("b", 0, 0.1, 0.77), run("b", 1, 0.1, 0.75)]
    first, second = to_target(runs)
    assert first.target == second.target
    assert first.target.value == pytest.approx(0.95 * 0.8)
    assert (first.reached, second.reached) == (1, 1)


def test_arms_are_measured_by_those_that_differ_in_what_travels_alone():
    def on(partitioner: str, uplink: str, final: float) -> RunResult:
        parameters = {"partitioner": partitioner, "compression.uplink": uplink, "network": "3g", "seed": "0"}
        return run(f"{partitioner} {uplink}", 0, 0.1, final, parameters=parameters)

    even = [on("iid", "none", 0.8), on("iid", "top_k", 0.6)]
    skewed = [on("dirichlet", "none", 0.4), on("dirichlet", "top_k", 0.39)]
    targets = [row.target.value for row in to_target([*even, *skewed])]
    assert targets == pytest.approx([0.76, 0.76, 0.38, 0.38])
    assert [row.reached for row in to_target([*even, *skewed])] == [1, 0, 1, 1]
    without = [row.target.value for row in to_target([even[0], skewed[0]])]
    assert without == pytest.approx([0.76, 0.76]), "no arm has a rival, so all are measured by the best"


def test_a_stop_rule_states_the_target_of_its_arm_and_what_is_asked_for_goes_before_it():
    stop = {"stop.metric": LOSS, "stop.target": "0.34"}
    runs = [run("a", 0, 0.1, 0.2, 0.3, parameters=stop), run("b", 0, 0.1, 0.2, 0.3)]
    own, default = to_target(runs)
    assert (own.target.metric, own.target.value, own.target.origin) == (
        LOSS,
        0.34,
        "the arm's own stop.target",
    )
    assert own.rounds.mean == 3  # 1 / 3, a loss, which falls
    assert target_text([own]).rows[0][1] == "training loss ≤ 0.34"
    assert default.target.metric == ACCURACY
    assert {row.target.value for row in to_target(runs, 0.25)} == {0.25}


def test_an_arm_that_never_gets_there_keeps_its_row():
    rows = to_target([run("a", 0, 0.1, 0.9), run("b", 0, 0.1, 0.2), run("b", 1, 0.1, 0.2)], 0.8)
    assert target_text(rows).rows[1] == ["b", "test accuracy ≥ 0.8", "0 of 2", "–", "–", "–", "–"]
    assert target_table(rows)["rounds mean"] == [2, None]
    assert target_table(rows)["reached"] == [1, 0]


def test_a_model_that_starts_at_the_target_needs_nothing():
    (row,) = to_target([run("a", 0, 0.9, 0.9)], 0.8)
    assert (row.rounds.mean, row.uplink_mb.mean, row.seconds.mean) == (0, 0, 0)


@pytest.mark.parametrize("final", [-0.3, 0.0, float("nan")])
def test_there_is_no_default_where_no_share_of_the_best_makes_sense(final: float):
    rows = to_target([run("a", 0, -1.0, final)])
    assert rows[0].target.value is None
    assert rows[0].reached == 0
    assert target_text(rows).rows[0][1] == "–"
    assert target_text(rows).note.startswith("Target: none, ")


def test_without_a_network_there_is_no_column_of_time():
    history = ((0, {ACCURACY: 0.1}), (1, {ACCURACY: 0.9, UP: 1e6, DOWN: 1e6}))
    shown = target_text(to_target([run("a", 0, 0.1, history=history)]))
    ((*_, last),) = shown.rows
    assert shown.columns[-1] == "downlink MB"
    assert last == "1.00"


def test_main_metrics_have_defaults_of_their_own():
    r2 = "generalisation/test_r2"
    line = run("line", 0, 0.0, history=((0, {r2: 0.1}), (1, {r2: 0.5})), main_metric=r2)
    rows = to_target([run("digits", 0, 0.1, 0.8), line])
    assert [row.target.value for row in rows] == pytest.approx([0.76, 0.475])


def test_times_of_all_arms_are_in_the_unit_that_suits_the_longest():
    def lasting(arm: str, seconds: float) -> RunResult:
        return run(arm, 0, 0.1, history=((1, {ACCURACY: 0.9, SECONDS: seconds}),))

    shown = target_text(to_target([lasting("a", 30), lasting("b", 600)], 0.8))
    assert shown.columns[-1] == "simulated min"
    assert [line[-1] for line in shown.rows] == ["0.500", "10.0"]


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [(0, (1, "s")), (119, (1, "s")), (120, (60, "min")), (7200, (3600, "h")), (864_000, (86_400, "days"))],
)
def test_long_times_have_long_units(seconds: float, unit: tuple[float, str]):
    assert unit_of(seconds) == unit
