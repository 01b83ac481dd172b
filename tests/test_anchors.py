"""Anchors of a study and the share of their gap: which there are, by hand, by simulation, and never as rivals."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from federated.extension_points.kinds import NETWORK
from federated.foundation.errors import BadInput
from federated.report import (
    Report,
    RunResult,
    arm_outcomes,
    compare,
    costs,
    on_network,
    page_html,
    response_curve,
    table,
    text_table,
)
from federated.report.costs.front import pareto
from federated.report.figures.arms.charts import curves_still
from federated.report.figures.arms.costs import bytes_and_time, rate_and_distortion
from federated.report.findings.by_seed import best_arm
from federated.report.findings.gap_closed import fieller, gap_closed
from federated.report.findings.ranking import ranked
from federated.report.findings.strokes import arm_strokes, strokes
from federated.report.findings.verdicts import choose_baseline, compare_paired
from federated.report.text.phrases import share_text
from federated.report.text.sentences import sentences
from federated.study.study import StudyConfig

ACCURACY = "generalisation/test_accuracy"
MSE_LIKE = "generalisation/test_mse"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
BASE: dict[str, Any] = {
    "dataset": "digits",
    "model": "logistic",
    "clients": 8,
    "rounds": 3,
    "cohort": {"size": 4},
}


def study(**content: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "base": BASE, **content})


def anchors_of(config: StudyConfig) -> list[str]:
    return list(dict.fromkeys(run.arm for run in config.runs() if run.config.training != "federated"))


def test_one_pair_for_all_arms_that_differ_in_what_a_server_does() -> None:
    axes = {
        "compression.uplink": ["none", "qsgd(4)"],
        "algorithm": ["fedavg", "fedprox(0.1)"],
        "cohort.weighting": ["examples", "uniform"],
        "network": [None, "4g"],
    }
    config = study(axes=axes, seeds=[0, 1], anchors=True)
    assert anchors_of(config) == ["centralised", "local"]
    assert len(config.runs()) == (16 + 2) * 2
    assert len({run.config.anchor_key() for run in config.runs()}) == 1


def test_a_pair_for_each_partition_model_local_training_and_budget() -> None:
    axes = {"partitioner": ["iid", "dirichlet(0.1)"], "compression.uplink": ["none", "qsgd(4)"]}
    assert anchors_of(study(axes=axes, anchors=True)) == [
        "centralised · iid",
        "centralised · dirichlet(alpha=0.1)",
        "local · iid",
        "local · dirichlet(alpha=0.1)",
    ]
    for axis in (
        {"model": ["logistic", "mlp"]},
        {"local.epochs": [1, 2]},
        {"cohort.size": [2, 4]},
        {"rounds": [2, 3]},
    ):
        config = study(axes=axis, anchors=["centralised"])
        assert len(anchors_of(config)) == 2
        keys = [run.config.anchor_key() for run in config.runs()]
        assert keys[:2] == keys[2:]
        assert keys[0] != keys[1]


def test_anchors_choose_their_round_as_their_arms_do() -> None:
    config = study(axes={"evaluation.best_by": [None, "main"]}, anchors=["centralised"])
    chosen = {run.arm: (run.config.evaluation.best_by, run.config.anchor_key()) for run in config.runs()}
    assert chosen["centralised · best_by=main"] == chosen["best_by=main"]
    assert chosen["centralised · best_by=None"] == chosen["best_by=None"]
    assert len(set(chosen.values())) == 2
    assert chosen["best_by=None"][1] == study().runs()[0].config.anchor_key()
    whole = study(arms=[{"name": "a", "evaluation": {"every": 1, "best_by": "main"}}], anchors=["local"])
    assert [run.config.evaluation.best_by for run in whole.runs()] == ["main", "main"]


def test_an_anchor_is_its_arm_without_a_server_and_has_the_whole_budget() -> None:
    base = {
        **BASE,
        "holdout": {"client": 0.2},
        "compression": {"uplink": "qsgd(4)", "downlink": "float16"},
        "network": "4g",
        "privacy": "clip(1.0)",
        "algorithm": "fedprox(0.1)",
        "stop": {"patience": 2},
        "evaluation": {"every": 2, "personalisation": True},
    }
    arm, centralised, local = (run.config for run in study(base=base, anchors=True).runs())
    for config in (centralised, local):
        assert config.compression.uplink.name == config.compression.downlink.name == "none"
        assert (config.network, config.stop, config.algorithm.name) == (None, None, "fedavg")
        assert (config.rounds, config.cohort, config.holdout) == (arm.rounds, arm.cohort, arm.holdout)
        assert config.evaluation.every == 2
    assert centralised.evaluation.personalisation == arm.evaluation.personalisation
    assert local.evaluation.personalisation is None


def test_arms_of_a_list_have_anchors_by_what_they_state() -> None:
    arms = [
        {"name": "plain"},
        {"name": "small", "cohort": {"size": 2, "weighting": "uniform"}, "algorithm": "fedprox(0.5)"},
    ]
    config = study(arms=arms, anchors=True)
    assert anchors_of(config)[0] == "centralised"
    assert len(anchors_of(config)) == 4
    assert [run.config.cohort.weighting for run in config.runs()][1:] == ["uniform", *["examples"] * 4]


def test_an_anchor_that_is_stated_as_an_arm_is_not_made_twice() -> None:
    config = study(axes={"training": ["federated", "centralised"]}, anchors=True)
    assert [run.arm for run in config.runs()] == ["training=federated", "training=centralised", "local"]


def test_an_anchor_runs_alone_by_its_name_and_is_no_baseline() -> None:
    config = study(axes={"partitioner": ["iid", "dirichlet(0.1)"]}, anchors=True)
    (alone,) = config.only(["local · iid"]).runs()
    whole = next(run for run in config.runs() if run.arm == "local · iid")
    assert (alone.arm, alone.config) == (whole.arm, whole.config)
    with pytest.raises(
        ValidationError, match=r"'centralised · iid' is not an arm; allowed: best, iid, dirichlet"
    ):
        study(
            axes={"partitioner": ["iid", "dirichlet(0.1)"]},
            anchors=True,
            comparison={"baseline": "centralised · iid"},
        )


@pytest.mark.parametrize("wanted", ["both", ["central"], 3, {"local": True}, [1]])
def test_bad_anchors_are_refused(wanted: object) -> None:
    with pytest.raises(ValidationError, match="must be true, false or a list of centralised, local; got"):
        study(anchors=wanted)


def test_one_word_is_enough_and_none_is_the_default() -> None:
    assert anchors_of(study(anchors="local")) == ["local"]
    assert anchors_of(study(anchors=False)) == anchors_of(study()) == []


def test_a_study_passes_through_its_file_with_its_anchors() -> None:
    config = study(axes={"partitioner": ["iid", "dirichlet(0.1)"]}, anchors=True)
    assert StudyConfig.model_validate(config.model_dump(mode="json")).runs() == config.runs()


def arm(name: str, scores: Any, anchor: str = "", key: str = "k", **changes: Any) -> list[RunResult]:
    sent = 0.0 if anchor else 2e6
    fields = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY, "seconds": 1.0, **changes}
    metric = fields["main_metric"]
    return [
        RunResult(
            "s",
            name,
            seed,
            history=(
                (0, {metric: 0.1}),
                (3, {metric: float(score), UP: sent, DOWN: sent}),
            ),
            anchor=anchor,
            anchor_key=key,
            **fields,
        )
        for seed, score in enumerate(scores)
    ]


def around(
    arms: list[RunResult], centralised: Any = (0.9, 0.94), local: Any = (0.5, 0.54)
) -> list[RunResult]:
    return [*arms, *arm("centralised", centralised, "centralised"), *arm("local", local, "local")]


def test_the_share_is_a_ratio_of_means_worked_by_hand() -> None:
    """Gained 0.2 and 0.4 of gaps of 0.4 and 0.5: 0.3 / 0.45. Residuals -1/15 and 1/15, so sd sqrt(2) / 15 / 0.45."""
    closed = gap_closed(around(arm("a", [0.7, 0.84]), (0.9, 0.94), (0.5, 0.44)))["a"]
    assert closed.share == pytest.approx(2 / 3)
    assert closed.sd == pytest.approx(2**0.5 / 15 / 0.45)
    assert closed.gap == pytest.approx(0.45)
    beyond = gap_closed(around(arm("a", [0.4, 0.98])))["a"]
    assert beyond.share == pytest.approx((-0.1 + 0.44) / 0.8)


def test_a_seed_with_a_tiny_gap_does_not_outweigh_the_others() -> None:
    """Gained 0.2, 0.2, 0.2, 0.15 of 0.4, 0.4, 0.4, 0.05: 0.75 / 1.25, where 0.5, 0.5, 0.5, 3 would average 1.1."""
    closed = gap_closed(around(arm("a", [0.7, 0.7, 0.7, 0.65]), [0.9, 0.9, 0.9, 0.55], [0.5] * 4))["a"]
    assert closed.share == pytest.approx(0.6)


def test_the_interval_of_the_share_holds_what_a_paired_t_test_does_not_reject() -> None:
    """Fieller's definition, with scipy's test as the oracle: at both ends p is 0.05, within more, beyond less."""
    gained, gaps = np.array([0.20, 0.25, 0.17, 0.26]), np.array([0.40, 0.43, 0.36, 0.45])
    interval = fieller(gained, gaps)
    assert interval is not None

    def p(ratio: float) -> float:
        return float(stats.ttest_1samp(gained - ratio * gaps, 0).pvalue)

    assert (p(interval.low), p(interval.high)) == pytest.approx((0.05, 0.05))
    assert p(gained.mean() / gaps.mean()) == pytest.approx(1.0)
    assert (
        p((interval.low + 3 * interval.high) / 4)
        > 0.05
        > max(p(interval.low - 0.01), p(interval.high + 0.01))
    )


def test_where_lower_is_better_a_centralised_arm_that_loses_is_said_to_be_worse() -> None:
    """Errors of 9.01 centralised and 7.02 local: centralised is worse by 2, with three digits in the measure's unit."""
    results = around(arm("a", [8.0, 8.1]), [9.01, 9.03], [7.02, 7.02])
    turned = [
        replace(
            run,
            main_metric=MSE_LIKE,
            history=tuple((at, {MSE_LIKE: m[ACCURACY]}) for at, m in run.history if ACCURACY in m),
        )
        for run in results
    ]
    (said,) = [each for each in sentences(turned, []) if each.startswith("No share of a gap is shown")]
    assert "(by how much it is better; below 0: worse): a (−2.00 [" in said


@pytest.mark.parametrize(("delta", "shown"), [(0.01, False), (0.001, True)])
def test_with_few_seeds_the_smallest_difference_that_matters_is_the_noise(delta: float, shown: bool) -> None:
    closed = gap_closed(around(arm("a", [0.504, 0.503]), [0.505, 0.504], [0.500, 0.500]), delta=delta)
    assert (closed["a"].share is not None) == shown


def test_a_gap_that_may_be_none_leaves_the_share_without_bounds() -> None:
    """Gaps of 0.44 and 0.28: 0.36, give or take 12.7 * 0.08."""
    closed = gap_closed(around(arm("a", [0.7, 0.8]), [0.83, 0.93], [0.39, 0.65]))["a"]
    assert closed.share == pytest.approx((0.31 + 0.15) / 0.72)
    assert closed.interval == (-math.inf, math.inf)
    assert share_text(closed) == "0.64 [−∞, ∞]"


def test_seeds_with_one_and_the_same_ratio_give_no_interval() -> None:
    closed = gap_closed(around(arm("a", [0.7, 0.75, 0.6]), [0.9, 1.0, 0.7], [0.5] * 3))["a"]
    assert (closed.share, closed.interval) == (pytest.approx(0.5), None)


def test_of_an_error_less_is_better() -> None:
    results = around(arm("a", [2.0, 2.0]), (1.0, 1.2), (3.0, 3.2))
    turned = [RunResult(**{**vars_of(run), "main_metric": MSE_LIKE}) for run in results]
    for run in turned:
        run.history[1][1][MSE_LIKE] = run.history[1][1].pop(ACCURACY)
    assert gap_closed(turned)["a"].share == pytest.approx(2.2 / 4)


def vars_of(run: RunResult) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


@pytest.mark.parametrize(
    ("centralised", "local"),
    [
        ([0.9, 0.9, 0.91], [0.9, 0.9, 0.91]),  # the same
        ([0.90, 0.93, 0.91], [0.89, 0.90, 0.86]),  # better with every seed, but that might be chance
        ([0.9, 0.8, 0.9], [0.7, 0.81, 0.7]),  # worse with one
        ([0.5, 0.5, 0.5], [0.9, 0.9, 0.9]),  # local is better
        ([0.905], [0.9]),  # one seed, too little
        ([0.95, 0.905], [0.9, 0.9]),  # two, too little with one
    ],
)
def test_anchors_that_do_not_differ_give_no_share_and_say_so(centralised: Any, local: Any) -> None:
    results = around(arm("a", [0.91] * len(local)), centralised, local)
    closed = gap_closed(results)["a"]
    assert (closed.share, closed.interval) == (None, None)
    said = " ".join(sentences(results, compare_paired(results)))
    assert "no share of a gap is shown" in said.lower()
    assert " closes " not in said
    (row,) = [row for row in ranked(results, []) if row.arm == "a"]
    assert row.cells["gap closed"] == "no gap"
    assert table(compare(results)).get("gap closed mean", [None])[0] is None


def test_one_seed_gives_a_share_without_an_interval() -> None:
    closed = gap_closed(around(arm("a", [0.8]), [0.9], [0.5]))["a"]
    assert (closed.share, closed.sd, closed.interval) == (pytest.approx(0.75), None, None)


def test_only_seeds_that_all_three_finished_count() -> None:
    failed = arm("a", [0.7, 0.8], status="FAILED")[1:]
    closed = gap_closed(around([*arm("a", [0.7]), *failed]))["a"]
    assert closed.seeds == (0,)
    assert gap_closed([*arm("a", [0.7]), *arm("centralised", [0.9], "centralised")]) == {}
    assert gap_closed(around(arm("a", [0.7, 0.8], key="another"))) == {}
    assert gap_closed(around(arm("a", [0.7, 0.8], key=""))) == {}


def test_each_arm_is_read_between_its_own_anchors() -> None:
    skewed = [
        *arm("b", [0.6, 0.64], key="j"),
        *arm("centralised · j", [0.8, 0.84], "centralised", key="j"),
        *arm("local · j", [0.2, 0.24], "local", key="j"),
    ]
    closed = gap_closed([*around(arm("a", [0.8, 0.84])), *skewed])
    assert closed["a"].share == pytest.approx(0.75)
    assert closed["b"].share == pytest.approx(2 / 3)


def test_intervals_of_the_share_cover_it_at_the_stated_rate() -> None:
    """Seeds move all three together and each a little by itself; the arm closes 0.7 of a gap of 0.3."""
    numbers, covered = np.random.default_rng(0), []
    for _ in range(600):
        common, noise = numbers.normal(0, 0.03, 8), numbers.normal(0, 0.01, (3, 8))
        local, centralised, own = 0.6 + common + noise[0], 0.9 + common + noise[1], 0.81 + common + noise[2]
        interval = gap_closed(around(arm("a", own), centralised, local))["a"].interval
        assert interval is not None
        covered.append(interval.low <= 0.7 <= interval.high)
    assert 0.925 < np.mean(covered) < 0.975


STUDY = around(
    [*arm("a", [0.7, 0.74, 0.7]), *arm("b", [0.8, 0.84, 0.83])], (0.9, 0.94, 0.9), (0.5, 0.54, 0.52)
)


def test_anchors_are_nobodys_rivals() -> None:
    assert best_arm(STUDY) == ("b", pytest.approx(0.8233, abs=1e-4), ACCURACY)
    assert choose_baseline(STUDY, "best") == "b"
    assert [pair.arm for pair in compare_paired(STUDY)] == ["b"]
    with pytest.raises(BadInput, match="'local' is not an arm; allowed: best, a, b"):
        choose_baseline(STUDY, "local")
    anchors_first = sorted(STUDY, key=lambda run: not run.anchor)
    assert choose_baseline(anchors_first) == "a"
    assert set(pareto(compare(STUDY))) == {"a", "b"}
    needed = costs(STUDY)
    assert [row[0] for row in needed.text.rows] == ["a", "b"]
    assert needed.numbers["target"] == pytest.approx(
        [0.95 * 0.82333] * 2, abs=1e-4
    )  # of the best arm, not the anchor
    assert sentences(STUDY[6:], compare_paired(STUDY[6:])) == []


def test_the_verdict_says_what_the_best_arm_closes() -> None:
    (share,) = [each for each in sentences(STUDY, compare_paired(STUDY)) if " closes " in each]
    assert share.startswith("b closes 0.77 [")
    assert share.endswith("of the gap of 0.393 between local and centralised training.")
    (alone, share) = sentences(around(arm("a", [0.7, 0.74])), [])[:2]
    assert alone.startswith("a reaches a test accuracy of 0.720;")
    assert share == "a closes 0.50 of the gap of 0.400 between local and centralised training."


def test_the_verdict_names_what_a_constant_would_beat() -> None:
    """R² is 0 for the mean of the targets: a's is -0.1 in the mean over its seeds, b's +0.05, local's -4."""
    r2 = "generalisation/test_r2"
    scored = {"a": [-0.3, 0.1], "b": [-0.1, 0.2], "centralised": [0.2, 0.2], "local": [-4, -4]}
    study = [
        run
        for name, scores in scored.items()
        for run in arm(name, scores, name if name in ("centralised", "local") else "", main_metric=r2)
    ]
    worse = "No better than giving every example the same answer: "
    assert f"{worse}a; local." in sentences(study, compare_paired(study))
    only = Report("s", study[:2]).verdict
    assert [said for said in only if "the same answer" in said] == [
        "No arm beats a constant answer: giving every example the same answer reaches 0.000, the best arm, a, −0.100."
    ]
    many = [run for name in "acdef" for run in arm(name, [-0.3, 0.1], main_metric=r2)]
    assert f"{worse}a; c; d; and 2 more." in sentences(many, compare_paired(many))
    assert not any(said.startswith("No better") for said in sentences(study[2:6], []))
    accuracies = around(arm("a", [-0.3, 0.1]))
    assert not any(said.startswith("No better") for said in sentences(accuracies, []))


def test_the_tables_have_the_share_and_anchors_come_last() -> None:
    columns = table(compare(STUDY))
    assert columns["arm"] == ["a", "b", "centralised", "local"]
    assert columns["gap closed mean"] == pytest.approx([0.58 / 1.18, 0.91 / 1.18, 1.0, 0.0])
    shown = text_table(compare(STUDY), full=False)
    assert shown.rows[2][shown.columns.index("gap closed")] == "1.00"
    ranking = ranked(STUDY, compare_paired(STUDY))
    assert [row.arm for row in ranking] == ["b", "a", "centralised", "local"]
    assert [row.cells["verdict"] for row in ranking][1:] == ["baseline", "anchor", "anchor"]
    assert ranking[0].cells["gap closed"].startswith("0.77 [")
    assert [row.place for row in ranking[2:]] == [None, None]
    without = [run for run in STUDY if not run.anchor]
    assert "gap closed mean" not in table(compare(without))
    assert "gap closed" not in ranked(without, [])[0].cells


@pytest.mark.slow
def test_the_page_counts_anchors_apart_and_explains_the_share() -> None:
    source = page_html(Report("s", STUDY, stated_commands={}), {})
    assert "12 runs, 2 arms, 2 anchors, 3 seeds; none failed." in source
    assert "<dt>Gap closed</dt>" in source
    assert "--arm centralised</code>" in source
    without = page_html(Report("s", [run for run in STUDY if not run.anchor]), {})
    assert "Gap closed" not in without


def test_colours_of_arms_do_not_depend_on_anchors() -> None:
    arms = [
        run
        for who, how in (("iid", "none"), ("iid", "qsgd"), ("skew", "none"))
        for run in arm(f"{who} · {how}", [0.7], overrides={"partitioner": who, "compression.uplink": how})
    ]
    looks = arm_strokes(around(arms, [0.9], [0.5]))
    assert {name: looks[name] for name in ("iid · none", "iid · qsgd", "skew · none")} == strokes(
        {run.arm: run.overrides for run in arms}
    )
    assert looks["centralised"] != looks["local"]


def panels(results: list[RunResult]) -> list[dict[str, Any]]:
    spec = curves_still(Report("s", results))
    assert spec is not None
    return [panel for row in spec["vconcat"] for panel in row["hconcat"]]


def names(panel: dict[str, Any]) -> list[str]:
    texts = [layer for layer in panel["layer"] if layer["mark"]["type"] == "text"]
    return [row["name"] for layer in texts for row in layer["data"]["values"]]


def test_curves_have_anchors_as_horizontal_lines_that_are_named() -> None:
    for panel in panels(STUDY):
        rules = [layer for layer in panel["layer"] if layer["mark"]["type"] == "rule"]
        scores = [layer["data"]["values"][0]["score"] for layer in rules]
        assert scores == pytest.approx([0.9133, 0.52], abs=1e-3)
        assert names(panel) == ["local", "centralised"]
        assert panel["layer"][1]["encoding"]["color"]["scale"]["domain"] == ["a", "b"]
    assert names(panels(around(arm("a", [0.3]), [0.905], [0.9]))[0]) == ["local; centralised"]
    assert [tick.get_text() for tick in arm_outcomes(STUDY).axes[0].get_yticklabels()][2:] == [
        "centralised",
        "local",
    ]


def test_another_network_times_the_arms_and_leaves_anchors() -> None:
    network = NETWORK.bind("4g")
    stated = [
        RunResult(**{**vars_of(run), "parameters": {} if run.anchor else {"network": "3g"}}) for run in STUDY
    ]
    timed = on_network(stated, network)
    assert {run.parameters.get("network") for run in timed if not run.anchor} == {"4g"}
    assert [run for run in timed if run.anchor] == [run for run in stated if run.anchor]
    assert bytes_and_time(STUDY) is None
    assert rate_and_distortion(STUDY) is None
    assert response_curve(STUDY) is None


def test_an_anchor_far_below_the_others_is_left_out_of_a_cut_axis() -> None:
    metric = "generalisation/test_r2"
    results = around(
        arm("a", [0.7], main_metric=metric),
        [],
        [],
    )
    results += arm("centralised", [0.9], "centralised", main_metric=metric)
    results += arm("local", [-5.4], "local", main_metric=metric)
    assert names(panels(results)[0]) == ["centralised"]


def test_a_legend_has_buttons_for_the_arms_of_its_own_charts_alone() -> None:
    """Curves have anchors as lines, the chart of bytes has none; an arm that never finished is in neither."""
    traffic = {"a": 2e6, "b": 4e6, "gone": 1e6}
    results = [
        RunResult(**{**vars_of(run), "history": (*run.history, (3, {UP: traffic[run.arm]}))})
        if run.arm in traffic
        else run
        for run in [*STUDY, *arm("gone", [0.5], status="FAILED")]
    ]
    page = page_html(Report("s", results), {"Learning curves": b"png", "Score against bytes": b"png"})
    legends = re.findall(r'<div class="legend">(.*?)</div>', page, flags=re.DOTALL)
    buttons = [re.findall(r'data-arm="([^"]+)"', legend) for legend in legends]
    assert buttons == [["a", "b", "centralised", "local"], ["a", "b"]]
