"""The forecast against the fact: like is compared with like, and where it cannot be, the line says why."""

from typing import Any

from federated.forecast import Amount, ArmForecast, Forecast
from federated.report import RunResult
from federated.report.foreseen import foreseen

UP = "communication/uplink_bytes_total"


def forecast() -> Forecast:
    of_arm, none = Amount(2e6, 2e6, 2e6), Amount(0, 0, 0)
    arms = tuple(ArmForecast(name, 2, 10, False, 20.0, of_arm, none) for name in ("a", "b"))
    return Forecast(
        arms, 1, 1, 44.0, 0.5, 900.0, 8_000.0, True, "none", (), low_seconds=22.0, high_seconds=88.0
    )


def run(arm: str, seed: int, seconds: float, **changes: Any) -> RunResult:
    history = ((0, {}), (10, {UP: 1.1e6}))
    return RunResult("s", arm, seed, "FINISHED", {}, history, "m", seconds=seconds, **changes)


def test_a_study_run_from_the_beginning_has_all_its_facts() -> None:
    rows = foreseen(forecast(), [run(arm, seed, 11.0) for arm in "ab" for seed in (0, 1)], 46.2, 990.0).rows
    assert rows[0] == ["wall time, from the command to the report", "44 s (22 to 88 s)", "46 s", "1.05"]
    assert [row[3] for row in rows[1:3]] == ["1.10", "1.10"]
    assert ["a: time", "20 s", "22 s", "1.10"] in rows


def test_the_time_of_what_was_left_is_not_held_against_that_of_the_whole() -> None:
    """Two runs of `b` went on from round 8: what they took is a fifth; their bytes are those of all ten rounds."""
    resumed = [run("b", seed, 2.0, resumed_from=8) for seed in (0, 1)]
    rows = foreseen(forecast(), [*(run("a", seed, 11.0) for seed in (0, 1)), *resumed], 27.0, 990.0).rows
    assert rows[0] == [
        "wall time, from the command to the report (2 of 4 runs went on from a checkpoint)",
        "44 s (22 to 88 s)",
        "–",
        "–",
    ]
    assert ["a: time", "20 s", "22 s", "1.10"] in rows
    assert ["b: time (2 of 2 runs went on from a checkpoint)", "20 s", "–", "–"] in rows
    assert [row[3] for row in rows[1:3]] == ["1.10", "1.10"]
    assert ["b: MB up", "2", "2.2", "1.10"] in rows
