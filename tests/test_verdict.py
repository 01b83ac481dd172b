"""What the report says: the verdict in words, the ranked table, the pictures of intervals and bytes."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from federated.report import Report, RunResult, drawn, page_html
from federated.report.figures.arms.charts import charts, front_still
from federated.report.figures.arms.intervals import difference_picture, gap_picture
from federated.report.findings.by_seed import best_arm, interval_over_seeds
from federated.report.findings.paired_table import paired_table
from federated.report.findings.ranking import ranked
from federated.report.findings.rerun import arm_commands
from federated.report.findings.verdicts import compare_paired
from federated.report.statistics.paired import at_once, t_interval
from federated.report.statistics.two_arms import PairedScores
from federated.report.text.numbers_as_text import number
from federated.report.text.phrases import difference_text, verdict_text
from federated.report.text.sentences import sentences

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
    # t of 4 degrees of freedom at 1 - 0.05/12: 4.851; deviation of the scores / sqrt(5): 0.00822 = 0.0184 / 2.236
    scores = np.array(BASE) + 0.03 + NOISE
    half = 4.8510 * scores.std(ddof=1) / 5**0.5
    ends = f"{scores.mean() - half:.3f} to {scores.mean() + half:.3f}"
    assert said[0].startswith(f"Best mean test accuracy: good, 0.952 (95 % interval {ends}, ")
    alone = 2.7764 * scores.std(ddof=1) / 5**0.5
    assert said[0].endswith(
        "corrected for picking the best of 6 arms; in tables and charts, of this arm alone, "
        f"{scores.mean() - alone:.3f} to {scores.mean() + alone:.3f})."
    )
    assert said[1] == "Better than the baseline, plain: good (+0.030 [+0.029, +0.031])."
    assert said[2] == "Worse than the baseline, plain: bad (−0.050 [−0.051, −0.049])."
    assert said[3].startswith("No difference larger than 0.01 from the baseline, plain: close (0.000 [")
    assert said[4].startswith("`plain` and `copy` have identical results")
    assert re.match(
        r"Inconclusive against the baseline, plain: noisy \(.*\)\. \d+ more seeds would probably ", said[5]
    )
    assert said[6].startswith("With 5 seeds for each arm")
    assert len(said) == 7


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_interval_of_the_best_of_nine_equal_arms_holds_its_mean(seeds: int) -> None:
    """Arms share what a seed does to all; for itself alone the best's interval holds in 82 to 87 % of cases."""
    numbers, held, alone = np.random.default_rng(seeds), 0, 0
    for _ in range(120):
        scores = 0.8 + 0.005 * numbers.standard_normal(seeds) + 0.01 * numbers.standard_normal((9, seeds))
        results = [run for at, row in enumerate(scores) for run in arm(f"arm {at}", row)]
        best = scores[scores.mean(axis=1).argmax()]
        ends = re.search(r"([\d.]+) to ([\d.]+), .* best of 9 arms", sentences(results, [])[0])
        assert ends is not None
        held += float(ends[1]) - 0.0005 <= 0.8 <= float(ends[2]) + 0.0005
        mine = t_interval(best)
        alone += mine is not None and mine.low <= 0.8 <= mine.high
    assert held / 120 >= 0.95 - 3 * (0.05 * 0.95 / 120) ** 0.5
    assert alone / 120 < 0.92


def test_differences_from_a_baseline_that_was_picked_hold_for_all_pairs_at_once() -> None:
    """Of five equal arms, against the best: each for itself they miss far more often, as the best was lucky."""
    numbers, missed, alone = np.random.default_rng(0), 0, 0
    for _ in range(300):
        scores = 0.8 + 0.01 * numbers.standard_normal((5, 6))
        best = int(scores.mean(axis=1).argmax())
        behind = [PairedScores(row - scores[best]) for at, row in enumerate(scores) if at != best]
        alone += any((ends := pair.interval(0.95)) is not None and ends.high < 0 for pair in behind)
        missed += any((ends := pair.interval(at_once(10))) is not None and ends.high < 0 for pair in behind)
    assert missed / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert alone / 300 > 0.1
    results = [run for at, row in enumerate(scores) for run in arm(f"arm {at}", row)]
    picked = compare_paired(results, "best")
    named = compare_paired(results, f"arm {best}")
    assert [pair.interval for pair in picked] == [pair.interval(at_once(10)) for pair in behind]
    assert [pair.interval for pair in named] == [pair.interval(0.95) for pair in behind]
    assert sentences(results, picked)[1].startswith(f"The baseline, arm {best}, was picked")
    assert not any("was picked" in each for each in sentences(results, named))


def test_few_seeds_are_said() -> None:
    results = [*arm("plain", [0.9]), *arm("good", [0.99])]
    best, inconclusive, few = sentences(results, compare_paired(results))
    assert best == "Best mean test accuracy: good, 0.990; not shown to be better than the baseline, plain."
    assert (
        inconclusive
        == "Inconclusive against the baseline, plain: good (+0.090). At least 4 more seeds are needed."
    )
    assert few.startswith("With 1 seed for each arm")
    assert verdict_text(compare_paired(results)[0]) == "inconclusive; at least 4 more seeds are needed"


def test_a_study_without_a_comparison_says_so_or_nothing() -> None:
    (alone,) = sentences(arm("plain", BASE), [])
    assert alone.startswith("plain reaches a test accuracy of 0.922;")
    assert sentences(arm("plain", BASE, status="FAILED"), []) == []
    results = [*arm("failed", BASE, status="FAILED"), *arm("plain", BASE)]
    (missing,) = sentences(results, compare_paired(results))[1:]
    assert missing.startswith("Not compared")
    assert missing.endswith(": failed.")
    (nothing,) = sentences(results, compare_paired(results, "failed"))[1:]
    assert nothing.startswith("No arm is compared with the baseline")
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
    assert (plain["MB up"], plain["seconds"], plain["seeds"]) == ("1.00", "8.00", "5")
    assert (rows[-1].place, rows[-1].cells["seeds"]) == (None, "0 of 5")
    assert "out-of-sample gap" not in plain  # nobody measured it
    assert {row.arm: row.place for row in rows[:-1]} == {
        "good": "front",
        "plain": "dominated in the mean",
        "copy": "dominated in the mean",
        "close": "front",
        "noisy": "dominated in the mean",
        "bad": "dominated",
    }


def test_the_page_has_verdict_ranking_and_the_command_of_every_arm() -> None:
    source = page_html(Report("s", STUDY, stated_commands={"s": "python -m flows run s.yaml"}), {})
    assert "Better than the baseline, plain: good (+0.030 [+0.029, +0.031])." in source
    assert source.count('<tr class="dominated">') == 1
    assert source.count(">behind, within noise</td>") == 3
    for name in ("plain", "good", "bad"):
        assert f"python -m flows run s.yaml --arm {name}</code>" in source
    assert arm_commands(STUDY[:1] + arm("a · b(c=1)", BASE), {})["a · b(c=1)"] == (
        "./fedstudy run s.yaml --arm 'a · b(c=1)'"
    )


@pytest.mark.slow
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
    assert front_still(Report("s", arm("plain", BASE))) is None
    alike = arm("one", BASE, 8.0) + arm("other", BASE, 8.001)  # as cohorts drawn by chance differ in size
    assert front_still(Report("s", alike)) is None
    assert front_still(Report("s", arm("one", BASE, 8.0) + arm("other", BASE, 8.1))) is not None


def test_the_picture_of_differences_shows_means_and_intervals_in_the_arms_colours() -> None:
    figure = difference_picture(STUDY, PAIRS)
    assert figure is not None
    panel = figure.axes[0]
    dots = [line for line in panel.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert [float(line.get_xdata()[0]) for line in dots] == pytest.approx([pair.estimate for pair in PAIRS])  # type: ignore[index]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == [pair.arm for pair in PAIRS]
    front = front_still(Report("s", STUDY))
    assert front is not None
    (panel,) = front["vconcat"][0]["hconcat"]
    colour = panel["layer"][-1]["encoding"]["color"]
    colours = dict(zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True))
    assert colours["good"] == dots[0].get_color()
    assert colour["condition"]["test"] == "datum.place === 'dominated'"  # grey
    assert {row["arm"]: row["place"] for row in panel["data"]["values"]}["bad"] == "dominated"


def test_numbers_in_words() -> None:
    assert [number(value, 3, signed=True) for value in (0.0123, -0.0123, 0.0004, -0.0004)] == [
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


def test_arms_with_different_main_metrics_have_a_column_each() -> None:
    other = "generalisation/test_r2"
    results = [*arm("a", [0.90, 0.92, 0.94])]
    for seed, score in enumerate([0.4, 0.5, 0.6]):
        results.append(RunResult("s", "b", seed, "FINISHED", {}, ((1, {other: score}),), other))
    rows = {row.arm: row.cells for row in ranked(results, compare_paired(results))}
    assert [name for name in rows["b"] if name.startswith("test")] == ["test accuracy", "test R²"]
    assert rows["a"]["test accuracy"].startswith("0.920 [")
    assert (rows["a"]["test R²"], rows["b"]["test accuracy"]) == ("–", "–")
    assert rows["b"]["test R²"].startswith("0.500 [")
    report = Report("s", results)
    assert charts(report.drawn) == {}  # they would have room for one of the two
    assert "test R²" in page_html(report, drawn(report))


def test_a_score_that_is_no_number_makes_no_arm_the_best() -> None:
    results = [*arm("lost", [float("nan")] * 3), *arm("half", [0.7, float("nan")]), *arm("whole", [0.8, 0.9])]
    assert best_arm(results) == ("whole", pytest.approx(0.85), ACCURACY)
    assert best_arm(results[:3]) is None


def test_the_verdict_says_of_which_arms_runs_were_lost() -> None:
    results = [*arm("plain", BASE), *arm("shaky", [0.99, 0.98, 0.99]), *arm("gone", [0.9], status="FAILED")]
    results += [RunResult("s", "shaky", seed, "FAILED", {}, (), ACCURACY) for seed in (3, 4)]
    shaky = [run for run in results if run.arm == "shaky"]
    for said in (sentences(results, compare_paired(results)), sentences(shaky, [])):
        (failed,) = [sentence for sentence in said if sentence.startswith("Failed runs")]
        assert failed.endswith(": shaky (2 of 5).")
    assert not any("ailed" in sentence for sentence in sentences(STUDY, PAIRS))


def test_the_page_says_which_tests_judged() -> None:
    alone = page_html(Report("s", STUDY), {})
    assert "correction for all arms" in alone
    assert "Welch" not in alone
    assert "correction for all pairs of arms" in page_html(Report("s", STUDY, baseline="best"), {})
    two = [
        RunResult(study, study, seed, "FINISHED", {}, ((1, {ACCURACY: score + seed / 100}),), ACCURACY, partition=study)
        for study, score in (("a", 0.8), ("b", 0.9))
        for seed in range(3)
    ]  # fmt: skip
    assert "are compared by Welch" in page_html(Report("a and b", two), {})


@pytest.mark.parametrize(("worst", "cut"), [(-40.0, True), (-0.5, False)])
def test_a_poor_start_of_r2_does_not_flatten_the_interactive_chart(worst: float, cut: bool) -> None:
    r2 = "generalisation/test_r2"
    history = ((0, {r2: worst}), (1, {r2: 0.6}), (2, {r2: 0.8}))
    report = Report("s", [RunResult("s", "a", seed, "FINISHED", {}, history, r2) for seed in (0, 1)])
    for layer in charts(report.drawn)["by-round"]["layer"]:
        assert layer["encoding"]["y"]["scale"].get("domainMin") == (-1 if cut else None)
        assert layer["mark"].get("clip", False) == cut  # else marks at the ends of the axes are halved
        assert ("cut at −1" in layer["encoding"]["y"]["title"]) == cut


def test_where_not_all_arms_are_named_those_that_differ_most_are() -> None:
    results = arm("plain", BASE)
    for shift in (0.015, 0.02, -0.03, -0.04, 0.045):
        results += arm(f"{shift:+}", np.array(BASE) + shift + 30 * NOISE)
    (said,) = [each for each in sentences(results, compare_paired(results)) if each.startswith("Inconcl")]
    assert re.findall(r"([+-]0\.0\d+) \(", said) == ["+0.045", "-0.04", "-0.03"]
    assert "; and 2 more. " in said
    pairs = compare_paired(results)
    needed = [pair.more_seeds for pair in pairs if pair.more_seeds is not None]
    assert len(needed) == 5
    assert said.endswith(f" {min(needed)} to {max(needed)} more seeds would probably decide.")


@pytest.mark.parametrize("program", ["python -m flows", "./fedstudy"])
@pytest.mark.parametrize("asked", ["--arm a --arm b", "--arm=a --arm=b --resume"])
def test_the_command_of_an_arm_runs_no_other(program: str, asked: str) -> None:
    stated = {"s": f"{program} run s.yaml {asked} --workers 2"}
    assert arm_commands(arm("a", BASE), stated) == {"a": f"{program} run s.yaml --workers 2 --arm a"}


def test_no_interval_that_is_shown_leaves_the_range_of_its_metric() -> None:
    """Two seeds each: t of one degree of freedom is 12.7, so that 0.7 and 0.9 give 0.8 and about 1.27 either way."""
    results = [*arm("plain", [0.1, 0.2]), *arm("good", [0.7, 0.9])]
    pairs = compare_paired(results)
    assert pairs[0].interval == (
        pytest.approx(0.65 - 12.7062 * 0.05, abs=1e-4),
        1.0,
    )  # accuracies differ by 1 at most
    assert sentences(results, pairs)[0].startswith(
        "Best mean test accuracy: good, 0.800 (95 % interval 0.000 to 1.000, "
    )
    row = next(row for row in ranked(results, pairs) if row.arm == "good")
    assert row.cells["test accuracy"] == "0.800 [0.000, 1.000]"
    gaps = [
        replace(run, history=((1, {ACCURACY: 0.5, GAP: at - 0.5}),))
        for at, run in enumerate(arm("a", [0, 0]))
    ]
    assert interval_over_seeds(gaps, GAP)[1] == (-1.0, 1.0)


def test_where_clients_have_models_of_their_own_it_is_said_on_what_they_are_scored() -> None:
    on_own = "generalisation/client_accuracy"

    def scored(name: str, test: float, own: float | None, *, alone: bool) -> list[RunResult]:
        spread = {f"{ACCURACY}_mean": test} if alone else {}
        known = {} if own is None else {on_own: own}
        history = ((3, {ACCURACY: test, UP: 1.0, DOWN: 1.0, **spread, **known}),)
        return arm(name, [test] * 3, history=history)

    study = [*scored("shared", 0.6, 0.5, alone=False), *scored("heads", 0.2, 0.8, alone=True)]
    (said,) = [line for line in sentences(study, compare_paired(study)) if "its own model" in line]
    assert said.startswith("Every client has its own model in heads. Test accuracy is ")
    assert said.endswith("(accuracy, all of them together): heads 0.800; shared 0.500.")
    (alone,) = [line for line in sentences(study[3:], []) if "its own model" in line]
    assert alone.endswith("heads 0.800.")
    by_client = [
        replace(
            run, history=((3, {**run.history[0][1], f"{on_own}_mean": 0.7 if run.arm == "heads" else 0.6}),)
        )
        for run in study
    ]
    (each,) = [line for line in sentences(by_client, compare_paired(by_client)) if "its own model" in line]
    assert each.endswith(
        "(accuracy, mean over clients): heads 0.700; shared 0.600."
    )  # both over clients, each alike
    blind = [*scored("shared", 0.6, None, alone=False), *scored("heads", 0.2, None, alone=True)]
    assert any("set holdout.client" in line for line in sentences(blind, compare_paired(blind)))
    assert not any("model of its own" in line for line in sentences(study[:3], []))


def test_small_errors_keep_three_digits() -> None:
    """Errors of 4e-4 and 2e-4 are no zeros, nor is their difference."""
    metric = "generalisation/test_mae"
    study = [
        replace(run, history=((1, {metric: score * (1 + 0.002 * run.seed)}),), main_metric=metric)
        for name, score in {"a": 4e-4, "b": 2e-4}.items()
        for run in arm(name, [0.0] * 3)
    ]
    said = sentences(study, compare_paired(study))
    assert said[0].startswith("Best mean test MAE: b, 0.000200 (95 % interval 0.000199 to 0.000202")
    (no_difference,) = [each for each in said if each.startswith("No difference larger than")]
    assert "b (−0.000200 [−0.000201, −0.000199])" in no_difference


def test_an_only_arm_s_score_is_said_once() -> None:
    alone = arm("plain", [0.80, 0.81, 0.82], anchor_key="k")
    local = arm("local", [0.5, 0.5, 0.5], anchor="local", anchor_key="k")
    (without,) = Report("s", alone).verdict
    assert without == "plain reaches a test accuracy of 0.810; the study has no other arm."
    said = " ".join(Report("s", [*alone, *local]).verdict)
    assert said.count("0.810") == 1
    assert (
        "One model for everybody: on the central test set federated training reaches 0.810 accuracy" in said
    )
