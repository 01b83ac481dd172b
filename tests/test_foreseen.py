"""The forecast against the fact: like is compared with like, and where it cannot be, the line says why."""

from dataclasses import replace
from typing import Any

from federated.forecast import Amount, ArmForecast, Forecast
from federated.metrics.durations import duration, estimate
from federated.report import RunResult
from federated.report.costs.forecast_against_fact import Took, foreseen

UP = "communication/uplink_bytes_total"


def forecast() -> Forecast:
    of_arm, none = Amount(2e6, 2e6, 2e6), Amount(0, 0, 0)
    arms = tuple(ArmForecast(name, 2, 10, False, 20.0, of_arm, none) for name in ("a", "b"))
    return Forecast(
        arms,
        1,
        1,
        44.0,
        0.5,
        900.0,
        8_000.0,
        True,
        "none",
        (),
        low_seconds=22.0,
        high_seconds=88.0,
        around_seconds=4.0,
    )


def run(arm: str, seed: int, seconds: float, **changes: Any) -> RunResult:
    history = ((0, {}), (10, {UP: 1.1e6}))
    return RunResult("s", arm, seed, "FINISHED", {}, history, "m", seconds=seconds, **changes)


RUNS = "all runs, from the start of the first to the end of the last"
AROUND = "before and after the runs: checks, probes, comparison, report"
WHOLE = "wall time, from the command to the report"
TOOK = Took(seconds=46.2, runs_seconds=44.0, memory_mb=990.0)


def of_all() -> list[RunResult]:
    return [run(arm, seed, 11.0) for arm in "ab" for seed in (0, 1)]


def test_runs_are_held_against_runs_and_what_is_around_them_against_that() -> None:
    made = foreseen(forecast(), of_all(), TOOK)
    assert made.table.rows[:3] == [
        (RUNS, "40 s", "44 s", "1.10"),
        (AROUND, "4 s", "2.2 s", "0.55"),
        (WHOLE, "44 s (22 to 88 s)", "46 s", "1.05"),
    ]
    assert [row[3] for row in made.table.rows[3:5]] == ["1.10", "1.10"]
    assert ("a: time", "20 s", "22 s", "1.10") in made.by_arm
    assert "see the terminal" not in made.table.note


def test_what_the_first_run_does_for_all_is_held_against_its_own_forecast() -> None:
    shared = "system/shared_seconds"
    results = [
        replace(run, history=(*run.history, (10, {shared: 12.0 if at == 0 else 0.0})))
        for at, run in enumerate(of_all())
    ]
    rows = foreseen(replace(forecast(), trunk_seconds=10.0), results, TOOK).table.rows
    assert rows[:2] == [
        (RUNS, "40 s", "44 s", "1.10"),
        ("of these, the frozen part of the model once on every example", "10 s", "12 s", "1.20"),
    ]
    finished_before = foreseen(
        replace(forecast(), trunk_seconds=10.0), results, TOOK._replace(finished_before=3)
    )
    assert finished_before.table.rows[1][1:] == ("10 s", "–", "–")


def test_a_forecast_its_range_and_the_fact_are_in_one_unit() -> None:
    assert estimate(66.0, 33.0, 1260.0) == "1.1 min (0.55 to 21 min)"
    assert estimate(9.97, 5.0, 20.0) == "10 s (5 to 20 s)"
    assert (estimate(66.0), duration(66.0), duration(66.0, 9000.0)) == ("66 s", "66 s", "0.018 h")
    long = replace(forecast(), low_seconds=22.0, high_seconds=1260.0)
    row = foreseen(long, of_all(), TOOK._replace(seconds=90.0)).table.rows[2]
    assert row == (WHOLE, "0.73 min (0.37 to 21 min)", "1.5 min", "2.05")


def test_a_page_that_is_being_written_does_not_hold_what_came_before_it_against_the_whole() -> None:
    made = foreseen(forecast(), of_all(), TOOK._replace(seconds=None))
    assert [row[2:] for row in made.table.rows[:3]] == [("44 s", "1.10"), ("–", "–"), ("–", "–")]
    assert "see the terminal" in made.table.note


def test_of_an_older_forecast_the_whole_is_compared() -> None:
    older = replace(forecast(), around_seconds=None)
    assert foreseen(older, of_all(), TOOK).table.rows[0] == (WHOLE, "44 s (22 to 88 s)", "46 s", "1.05")
    assert foreseen(older, of_all(), TOOK).table.rows[1][0] == "peak memory, MB"


def test_the_time_of_what_was_left_is_not_held_against_that_of_the_whole() -> None:
    """Two runs of `b` went on from round 8: what they took is a fifth; their bytes are those of all ten rounds."""
    resumed = [run("b", seed, 2.0, resumed_from=8) for seed in (0, 1)]
    results = [*(run("a", seed, 11.0) for seed in (0, 1)), *resumed]
    made = foreseen(forecast(), results, Took(27.0, 26.0, 990.0))
    went_on = " (2 of 4 runs went on from a checkpoint)"
    assert made.table.rows[0] == (f"{RUNS}{went_on}", "40 s", "–", "–")
    assert made.table.rows[2] == (f"{WHOLE}{went_on}", "44 s (22 to 88 s)", "–", "–")
    assert ("a: time", "20 s", "22 s", "1.10") in made.by_arm
    assert ("b: time (2 of 2 runs went on from a checkpoint)", "20 s", "–", "–") in made.by_arm
    assert [row[3] for row in made.table.rows[3:5]] == ["1.10", "1.10"]
    assert ("b: MB up", "2.00", "2.20", "1.10") in made.by_arm


def test_a_study_whose_runs_had_finished_before_has_no_time() -> None:
    """The last start trained one run of four, which says nothing of what four take."""
    made = foreseen(forecast(), of_all(), TOOK._replace(finished_before=3))
    before = " (3 of 4 runs had finished before)"
    assert made.table.rows[:3] == [
        (f"{RUNS}{before}", "40 s", "–", "–"),
        (f"{AROUND}{before}", "4 s", "–", "–"),
        (f"{WHOLE}{before}", "44 s (22 to 88 s)", "–", "–"),
    ]
    assert made.table.rows[3][2] == "990"
    assert ("a: time", "20 s", "22 s", "1.10") in made.by_arm
    assert "see the terminal" not in made.table.note
