"""The comparison of arms: numbers against Python's statistics module, and what stands where there is none."""

import math
import statistics
from typing import Any

import numpy as np
import pytest

from federated.report import RunResult, compare, table, text_table

ACCURACY, R2 = "generalisation/test_accuracy", "generalisation/test_r2"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"


def result(arm: str = "iid", seed: int = 0, *rounds: dict[str, float], **changes: Any) -> RunResult:
    fields: dict[str, Any] = {
        "study": "s",
        "arm": arm,
        "seed": seed,
        "status": "FINISHED",
        "parameters": {"seed": seed},
        "history": tuple(enumerate(rounds)),
        "main_metric": ACCURACY,
    }
    return RunResult(**{**fields, **changes})


def scored(arm: str, seed: int, accuracy: float, uplink: float = 2e6, **changes: Any) -> RunResult:
    start, end = {ACCURACY: 0.1}, {ACCURACY: accuracy, "train/loss": 0.5, UP: uplink, DOWN: 3e6}
    return result(arm, seed, start, end, **changes)


def test_a_curve_rises_in_rounds_and_the_last_entry_of_a_round_counts() -> None:
    run = result(history=((2, {ACCURACY: 0.5}), (0, {ACCURACY: 0.1}), (2, {ACCURACY: 0.6, UP: 8.0})))
    rounds, values = run.curve(ACCURACY)
    assert rounds.tolist() == [0, 2]
    assert values.tolist() == [0.1, 0.6]
    assert run.rounds_done == 2


def test_the_final_value_is_the_last_one_logged_or_nothing() -> None:
    run = result("iid", 0, {ACCURACY: 0.1}, {ACCURACY: 0.4}, {"train/loss": math.nan})
    assert run.final(ACCURACY) == 0.4
    assert math.isnan(run.final("train/loss") or 0.0)
    assert run.final("generalisation/test_loss") is None
    assert result().final(ACCURACY) is None
    assert result().rounds_done == 0


def test_bytes_are_carried_on_between_entries_and_nothing_was_sent_before_the_first() -> None:
    run = result(history=((1, {UP: 1e6}), (3, {UP: 4e6})))
    assert run.megabytes(UP, np.array([0, 1, 2, 3, 9])).tolist() == [0, 1, 1, 4, 4]
    assert np.isnan(run.megabytes(DOWN, np.array([0, 1]))).all()


def test_means_and_sample_deviations_are_those_of_the_statistics_module() -> None:
    values, uplinks = [0.91, 0.925, 0.88], [1.0e6, 1.5e6, 2.3e6]
    (summary,) = compare(
        [scored("iid", s, v, u) for s, (v, u) in enumerate(zip(values, uplinks, strict=True))]
    )
    assert summary.score.mean == pytest.approx(statistics.mean(values))
    assert summary.score.sd == pytest.approx(statistics.stdev(values))
    assert summary.uplink_mb.mean == pytest.approx(1.6)
    assert summary.uplink_mb.sd == pytest.approx(statistics.stdev(uplinks) / 1e6)
    assert (summary.runs, summary.failed, summary.rounds.mean, summary.downlink_mb.mean) == (3, 0, 1, 3)
    assert summary.secondary["train/loss"].mean == 0.5


def test_a_hand_worked_case() -> None:
    (summary,) = compare([scored("iid", 0, 0.8), scored("iid", 1, 0.9)])
    assert summary.score.mean == pytest.approx(0.85)
    assert summary.score.sd == pytest.approx(0.1 / math.sqrt(2))
    assert text_table([summary]).rows[0][:2] == ["iid", "0.850 ± 0.071"]


def test_one_seed_has_no_deviation() -> None:
    (summary,) = compare([scored("iid", 0, 0.9)])
    assert (summary.score.mean, summary.score.sd, summary.score.count) == (0.9, None, 1)
    assert text_table([summary]).rows[0][1] == "0.900"


def test_failed_runs_are_counted_and_their_numbers_are_not_used() -> None:
    runs = [scored("iid", 0, 0.9), scored("iid", 1, 0.1, status="FAILED"), scored("iid", 2, 0.7)]
    (summary,) = compare(runs)
    assert (summary.runs, summary.failed, summary.score.count) == (3, 1, 2)
    assert summary.score.mean == pytest.approx(0.8)


def test_an_arm_without_a_finished_run_has_dashes_and_no_numbers() -> None:
    summaries = compare([scored("iid", 0, 0.9), scored("skewed", 0, 0.5, status="FAILED")])
    assert summaries[1].score.mean is None
    shown = text_table(summaries)
    by_column = dict(zip(shown.columns, shown.rows[1], strict=True))
    assert by_column.pop("arm") == "skewed"
    assert (by_column.pop("runs"), by_column.pop("failed")) == ("1", "1")
    assert set(by_column.values()) == {"–"}
    assert table(summaries)["test_accuracy mean"] == [0.9, None]


def test_a_value_that_is_not_a_number_is_not_hidden() -> None:
    (summary,) = compare([scored("iid", 0, 0.9), scored("iid", 1, math.nan)])
    assert summary.score.mean is not None
    assert math.isnan(summary.score.mean)
    assert text_table([summary]).rows[0][1] == "NaN ± NaN"


def test_arms_keep_the_order_in_which_they_come() -> None:
    runs = [scored("b", 0, 0.1), scored("a", 0, 0.2), scored("b", 1, 0.3)]
    assert [summary.arm for summary in compare(runs)] == ["b", "a"]


def test_both_forms_of_the_table_have_the_same_rows_and_columns() -> None:
    summaries = compare([scored("a", 0, 0.9), scored("a", 1, 0.8), scored("b", 0, 0.7)])
    columns, shown = table(summaries), text_table(summaries)
    assert {len(cells) for cells in columns.values()} == {len(shown.rows)} == {2}
    names = list(dict.fromkeys(name.removesuffix(" mean").removesuffix(" sd") for name in columns))
    assert names == ["arm", "test_accuracy", *shown.columns[2:-1], "train_loss"]
    assert shown.columns == [
        "arm",
        "test accuracy",
        "uplink MB",
        "downlink MB",
        "rounds",
        "runs",
        "failed",
        "training loss",
    ]
    assert text_table(summaries, full=False).columns == shown.columns[:-1]


def test_arms_with_different_main_metrics_have_a_column_each() -> None:
    summaries = compare([scored("digits", 0, 0.9), result("diabetes", 0, {R2: 0.4}, main_metric=R2)])
    shown = text_table(summaries, full=False)
    assert shown.columns[:3] == ["arm", "test accuracy", "test R²"]
    assert [row[1:3] for row in shown.rows] == [["0.900", "–"], ["–", "0.400"]]


def test_an_empty_study_has_an_empty_table() -> None:
    assert compare([]) == []
    assert text_table([]).rows == []
    assert all(cells == [] for cells in table([]).values())


@pytest.mark.parametrize(
    ("uplinks", "text"),
    [
        ([7.8e6, 7.8e6], "7.80"),
        ([1e6, 3e6], "2.00 ± 1.41"),
        ([1234.0], "0.00123"),
        ([5_678_900e6], "5,678,900"),
        ([0.0], "0"),
        ([3e13], "3.00e+07"),
    ],
)
def test_amounts_show_three_digits_and_no_zero_deviation(uplinks: list[float], text: str) -> None:
    summaries = compare([scored("iid", seed, 0.9, uplink) for seed, uplink in enumerate(uplinks)])
    shown = text_table(summaries)
    assert shown.rows[0][shown.columns.index("uplink MB")] == text
