"""What the report says: the verdict in words, the ranked table, the pictures of intervals and bytes."""

import re
from typing import Any

import numpy as np
import pytest

from federated.report import Report, RunResult, drawn, page_html
from federated.report.arm_intervals import difference_picture, gap_picture
from federated.report.paired import compare_paired, paired_table
from federated.report.pareto_picture import pareto_picture
from federated.report.ranking import commands, ranked
from federated.report.statistics import t_interval
from federated.report.verdict import best_arm, difference_text, sentences, signed, verdict_text

ACCURACY = "generalisation/test_accuracy"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
GAP = "generalisation/participation_gap"
BASE = [0.90, 0.93, 0.91, 0.95, 0.92]
NOISE = np.array([0.001, -0.001, 0.0005, 0.0, -0.0005])


def arm(name: str, scores: Any, megabytes: float = 2.0, **changes: Any) -> list[RunResult]:
    made = []
    for seed, score in enumerate(scores):
        history = ((1, {ACCURACY: float(score), UP: megabytes * 5e5, DOWN: megabytes * 5e5, GAP: 0.02}),)
        fields: dict[str, Any] = {
            "status": "FINISHED",
            "parameters": {},
            "main_metric": ACCURACY,
            "seconds": 8.0,
        }
        made.append(RunResult("s", name, seed, **{**fields, "history": history, **changes}))
    return made


STUDY = [
    *arm("plain", BASE),
    *arm("good", np.array(BASE) + 0.03 + NOISE, 4.0),
    *arm("bad", np.array(BASE) - 0.05 + NOISE, 4.0),
    *arm("copy", BASE, 3.0),
    *arm("close", np.array(BASE) + NOISE, 0.1),
    *arm("noisy", np.array(BASE) + 30 * NOISE, 1.0),
]
PAIRS = compare_paired(STUDY)


def test_every_arm_is_in_the_words_with_its_verdict_and_its_interval() -> None:
    said = sentences(STUDY, PAIRS)
    assert said[0] == "Best mean test accuracy: good, 0.952."
    assert said[1] == "Better than plain: good (+0.030 [+0.029, +0.031])."
    assert said[2] == "Worse than plain: bad (−0.050 [−0.051, −0.049])."
    assert said[3].startswith("No difference larger than 0.01 from plain: close (0.000 [")
    assert said[4] == "`plain` and `copy` gave identical results, and no setting differs between them."
    assert re.match(r"Inconclusive against plain, about \d+ more seeds would decide: noisy \(", said[5])
    assert len(said) == 6


def test_few_seeds_are_said() -> None:
    results = [*arm("plain", [0.9]), *arm("good", [0.99])]
    assert sentences(results, compare_paired(results)) == [
        "Best mean test accuracy: good, 0.990.",
        "Inconclusive against plain, about 2 more seeds would decide: good (+0.090).",
        "With 1 shared seed, only large and steady differences can be told from chance.",
    ]
    assert verdict_text(compare_paired(results)[0]) == "inconclusive, at least 2 more seeds needed"


def test_a_study_without_a_comparison_says_so_or_nothing() -> None:
    assert sentences(arm("plain", BASE), []) == [
        "plain ends at test accuracy 0.922; there is no other arm to compare it with."
    ]
    assert sentences(arm("plain", BASE, status="FAILED"), []) == []
    results = [*arm("failed", BASE, status="FAILED"), *arm("plain", BASE)]
    assert sentences(results, compare_paired(results))[1:] == [
        "Not compared, for want of a seed that both finished: failed."
    ]
    assert sentences(results, compare_paired(results, "failed"))[1:] == [
        "Nothing is compared: the baseline has no finished run, or another main metric."
    ]
    assert best_arm([]) is None


def test_the_ranking_is_by_mean_with_t_intervals_and_ends_with_what_failed() -> None:
    results = [*arm("failed", BASE, status="FAILED"), *STUDY]
    rows = ranked(results, compare_paired(results))
    assert [row.arm for row in rows] == ["good", "plain", "copy", "close", "noisy", "bad", "failed"]
    interval = t_interval(np.array(BASE))
    assert interval is not None
    plain = rows[1].cells
    assert plain["test accuracy"] == f"0.922 [{interval.low:.3f}, {interval.high:.3f}]"
    assert plain["verdict"] == "baseline"
    assert plain["participation gap"] == "0.020"  # without spread no interval
    assert (plain["MB up"], plain["seconds"], plain["seeds"]) == ("1", "8", "5")
    assert (rows[-1].place, rows[-1].cells["seeds"]) == (None, "0 of 5")
    assert "out-of-sample gap" not in plain  # nobody measured it
    assert {row.arm: row.place for row in rows[:-1]} == {
        "good": "front",
        "plain": "dominated",
        "copy": "dominated",
        "close": "front",
        "noisy": "dominated",
        "bad": "dominated",
    }


def test_the_page_has_verdict_ranking_and_the_command_of_every_arm() -> None:
    source = page_html(Report("s", STUDY, stated_command="python -m flows run s.yaml"), {})
    assert "Better than plain: good (+0.030 [+0.029, +0.031])." in source
    assert source.count('<tr class="dominated">') == 4
    for name in ("plain", "good", "bad"):
        assert f"python -m flows run s.yaml --arm {name}</code>" in source
    assert commands(STUDY[:1] + arm("a · b(c=1)", BASE), "run")["a · b(c=1)"] == "run --arm 'a · b(c=1)'"


def test_a_study_of_a_hundred_runs_has_a_page_of_a_few_megabytes() -> None:
    results = [run for at in range(20) for run in arm(f"arm {at}", np.array(BASE) - 0.001 * at, 1.0 + at)]
    report = Report("s", results, baseline="best")
    pictures = drawn(report)
    assert set(pictures) >= {"Difference from the baseline", "Score against bytes", "Generalisation gaps"}
    assert len(page_html(report, pictures)) < 3_000_000


def test_pictures_are_left_out_where_there_is_nothing_to_show() -> None:
    failed = arm("plain", BASE, status="FAILED")
    assert difference_picture(failed, []) is None
    assert gap_picture(failed) is None
    assert pareto_picture(arm("plain", BASE)) is None


def test_the_picture_of_differences_shows_means_and_intervals_in_the_arms_colours() -> None:
    figure = difference_picture(STUDY, PAIRS)
    assert figure is not None
    panel = figure.axes[0]
    dots = [line for line in panel.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert [float(line.get_xdata()[0]) for line in dots] == pytest.approx([pair.mean for pair in PAIRS])  # type: ignore[index]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == [pair.arm for pair in PAIRS]
    front = pareto_picture(STUDY)
    assert front is not None
    colours = {text.get_text(): handle.get_color() for text, handle in _legend(front)}
    assert colours["good"] == dots[0].get_color()
    assert colours["bad"] != dots[1].get_color()  # dominated: grey


def _legend(figure: Any) -> list[tuple[Any, Any]]:
    legend = figure.legends[0]
    return list(zip(legend.get_texts(), legend.legend_handles, strict=True))


def test_numbers_in_words() -> None:
    assert [signed(value) for value in (0.0123, -0.0123, 0.0004, -0.0004)] == [
        "+0.012",
        "−0.012",
        "0.000",
        "0.000",
    ]
    assert difference_text(PAIRS[2]) == "0.000"


def test_the_table_of_pairs_has_plain_values() -> None:
    columns = paired_table(PAIRS)
    assert {len(cells) for cells in columns.values()} == {len(PAIRS)}
    assert columns["verdict"] == ["better", "worse", "no effect", "no difference", "inconclusive"]
    assert columns["low"][2] is None
