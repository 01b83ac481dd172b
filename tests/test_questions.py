"""Both questions of a study: by hand, by scipy, and where the answer to one is the opposite of the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from federated.report import Report, RunResult, page_html
from federated.report.findings.gap_closed import gap_closed
from federated.report.findings.ranking import ranked
from federated.report.findings.verdicts import compare_pairs
from federated.report.questions.answers import answers, own_metric
from federated.report.questions.sites_tables import sites_numbers, sites_text
from federated.report.questions.tables import questions_numbers, questions_table
from federated.report.text.about_anchors import gap_sentences

TEST, OWN = "generalisation/test_accuracy", "generalisation/client_accuracy_mean"
SEEDS = range(5)
NOISE = np.array([0.0, 0.002, -0.001, 0.001, -0.002])
NATURAL = {"partitioner": "by_client"}

Scores = tuple[float, dict[str, float]]
"""On the central test set, and of each site on its own held-out examples."""


def runs(arm: str, scores: Scores, *, anchor: str = "", own: bool = True, **changes: Any) -> list[RunResult]:
    """Five seeds, which move all scores alike, and those of arms without a server twice as far."""
    test, sites = scores
    made = []
    for seed in SEEDS:
        noise = NOISE[seed] * (2 if anchor else 1)
        by_site = {name: value + noise for name, value in sites.items()}
        metrics = {TEST: test + noise} | ({OWN: float(np.mean([*by_site.values()]))} if own else {})
        table = {
            "client": [*by_site],
            "takes_part": [True] * len(by_site),
            "held_out_examples": [10 * (at + 1) for at in range(len(by_site))],
            "held_out_positives": list(range(len(by_site))),
            "accuracy": [*by_site.values()],
        }
        fields = {"parameters": NATURAL, "anchor_key": "k", "clients": table if own else {}, **changes}
        history = ((0, {TEST: 0.1}), (9, metrics))
        made.append(
            RunResult("s", arm, seed, "FINISHED", history=history, main_metric=TEST, anchor=anchor, **fields)
        )
    return made


TOGETHER: Scores = (0.80, {"north": 0.70, "south": 0.90, "west": 0.80})
POOLED: Scores = (0.83, {"north": 0.80, "south": 0.92, "west": 0.82})
ALONE: Scores = (0.50, {"north": 0.95, "south": 0.85, "west": 0.90})
STUDY = [
    *runs("fed", TOGETHER),
    *runs("centralised", POOLED, anchor="centralised"),
    *runs("local", ALONE, anchor="local"),
]


def test_the_sign_of_one_question_may_be_the_opposite_of_the_other() -> None:
    everybody, alone = answers(STUDY)
    assert (everybody.name, alone.name) == ("One model for everybody", "Better than what each site has alone")
    assert (everybody.metric, alone.metric) == (TEST, OWN)
    assert everybody.scored_on == "the central test set"
    assert alone.scored_on == "the sites' own held-out examples, mean over sites"
    assert everybody.arms[0].against["local"].verdict == "better"
    assert alone.arms[0].against["local"].verdict == "worse"
    assert alone.arms[0].against["local"].estimate == pytest.approx(0.8 - 0.9)
    assert alone.arms[0].against["centralised"].estimate == pytest.approx(0.8 - 2.54 / 3)


def test_intervals_and_p_are_those_of_paired_t_tests_with_holm_s_correction() -> None:
    (answer, _) = answers(STUDY)
    found = answer.arms[0].against
    noise = NOISE - 2 * NOISE
    looks_share = 4  # at five seeds a quarter of the rate, see `Looks`
    raw = {}
    for anchor, reference in (("centralised", 0.83), ("local", 0.50)):
        differences = 0.80 - reference + noise
        expected = stats.ttest_1samp(differences, 0)
        ends = expected.confidence_interval(0.95)
        assert found[anchor].interval == pytest.approx((ends.low, ends.high))
        raw[anchor] = expected.pvalue
    pairs = [("fed", "centralised"), ("fed", "local")]
    single = [compare_pairs(STUDY, [pair], TEST)[0].p for pair in pairs]
    assert found["local"].p == pytest.approx(min(2 * min(single), 1))
    assert found["centralised"].p == pytest.approx(max(max(single), 2 * min(single)))
    assert single[0] / raw["centralised"] == pytest.approx(single[1] / raw["local"])
    assert single[0] / raw["centralised"] >= looks_share


def test_the_first_sentences_say_both_answers_and_who_loses() -> None:
    said = Report("s", STUDY).verdict
    half = stats.t.ppf(0.975, 4) * NOISE.std(ddof=1) / 5**0.5 * 100
    assert said[0] == (
        "Better alone than together: on their own held-out examples, 1 of 3 sites do better with federated training "
        "than alone; on average over sites they reach 0.800 accuracy instead of 0.900, −10.0 points "
        f"[−{10 + half:.1f}, −{10 - half:.1f}]."
    )
    assert said[1].startswith(
        "With all data in one place they would reach 0.847 there: federated training is worse, "
    )
    assert said[2].startswith(
        "One model for everybody: on the central test set federated training reaches 0.800 accuracy, all data in one "
        "place 0.830 (federated training is "
    )
    assert "the model of a site alone 0.500 (federated training is better, +30.0 points [" in said[2]
    assert said[3] == (
        "2 sites do worse together than alone, 2 of them by more than the noise between seeds: north (−25.0 points); "
        "west (−10.0 points)."
    )


def test_clients_that_a_study_made_up_are_counted_and_not_named() -> None:
    study = [RunResult(**{**vars_of(run), "parameters": {"partitioner": "iid"}}) for run in STUDY]
    report = Report("s", study)
    assert "33 % of the clients do better" in report.verdict[0]
    assert not any("north" in sentence for sentence in report.verdict)
    assert sites_text(study) is None
    assert sites_numbers(study) == {}
    assert answers(study)[1].name == "Better than what each client has alone"


def vars_of(run: RunResult) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__dataclass_fields__}


def test_without_own_held_out_examples_a_sentence_says_how_to_get_them() -> None:
    study = [
        *runs("fed", TOGETHER, own=False),
        *runs("centralised", POOLED, anchor="centralised", own=False),
        *runs("local", ALONE, anchor="local", own=False),
    ]
    assert [answer.name for answer in answers(study)] == ["One model for everybody"]
    said = Report("s", study).verdict
    assert said[0].startswith("One model for everybody: ")
    assert said[1].endswith("set holdout.client, such as 0.2.")
    assert not any("holdout.client" in sentence for sentence in Report("s", STUDY).verdict)


def test_without_local_the_mean_over_sites_is_said_as_such() -> None:
    said = Report("s", [*runs("fed", TOGETHER), *runs("centralised", POOLED, anchor="centralised")]).verdict
    assert said[0].startswith(
        "With all data in one place they would reach 0.847 on their own held-out examples, on average over sites: "
    )


def test_without_anchors_no_question_is_answered() -> None:
    assert answers(STUDY[:5]) == []
    assert Report("s", STUDY[:5]).verdict[0].startswith("fed reaches a test accuracy of 0.800")


def test_an_r2_is_taken_of_all_own_examples_and_sites_are_counted_by_their_mse() -> None:
    r2, own, mse = ("generalisation/" + name for name in ("test_r2", "client_r2", "client_mse_mean"))

    def scored(arm: str, score: float, errors: list[float], anchor: str = "") -> list[RunResult]:
        table = {
            "client": ["a", "b"],
            "takes_part": [True, True],
            "held_out_examples": [5, 5],
            "mse": errors,
            "r2": [-100.0, -300.0],
        }
        metrics = {r2: score, own: score, mse: float(np.mean(errors))}
        return [
            RunResult(
                "s",
                arm,
                seed,
                "FINISHED",
                NATURAL,
                ((1, metrics),),
                r2,
                anchor=anchor,
                anchor_key="k",
                clients=table,
            )
            for seed in range(3)
        ]

    study = [*scored("fed", 0.4, [2.0, 7.0]), *scored("local", 0.6, [3.0, 4.0], "local")]
    assert own_metric(study, r2) == own
    assert answers(study)[1].scored_on == "the sites' own held-out examples, all of them together"
    said = Report("s", study).verdict
    assert "1 of 2 sites do better by MSE with federated training than alone" in said[0]
    assert "0.400 R² instead of 0.600, −0.200" in said[0]
    assert "1 site does worse together than alone, within the noise between seeds: b (MSE +3.00)." in said


def test_the_table_of_sites_has_names_support_and_differences() -> None:
    numbers = sites_numbers(STUDY)
    rows = [dict(zip(numbers, row, strict=True)) for row in zip(*numbers.values(), strict=True)]
    (north,) = [row for row in rows if (row["client"], row["arm"]) == ("north", "fed")]
    assert (north["seeds"], north["held-out examples"], north["positives"]) == (5, 10, 0)
    assert north["score"] == pytest.approx(0.70)
    assert north["minus local"] == pytest.approx(-0.25)
    ends = stats.ttest_1samp(-0.25 - NOISE, 0).confidence_interval(0.95)
    assert (north["minus local low"], north["minus local high"]) == pytest.approx((ends.low, ends.high))
    assert north["minus centralised"] == pytest.approx(-0.10)
    assert len(rows) == 9
    text = sites_text(STUDY)
    assert text is not None
    assert text.columns == [
        "site",
        "held-out examples",
        "positives",
        "fed",
        "centralised",
        "local",
        "difference from alone",
    ]
    assert text.rows[0][:6] == ["north", "10", "0", "0.700", "0.800", "0.950"]
    assert text.rows[0][6].startswith("−25.0 points [−25.")


def test_sites_of_sequences_show_their_positions_too() -> None:
    counted = [{**run.clients, "held_out_positions": [700, 80, 9]} for run in STUDY]
    study = [replace(run, clients=table) for run, table in zip(STUDY, counted, strict=True)]
    text, numbers = sites_text(study), sites_numbers(study)
    assert text is not None
    assert text.columns[:4] == ["site", "held-out examples", "positions", "positives"]
    assert [row[1:3] for row in text.rows] == [["10", "700"], ["20", "80"], ["30", "9"]]
    assert set(numbers["positions"]) == {700, 80, 9}


def test_a_site_that_never_trains_with_some_seed_keeps_its_name_in_a_row_of_its_own() -> None:
    study = list(STUDY)
    table = {**study[0].clients, "takes_part": [False, True, True]}
    study[0] = RunResult(**{**vars_of(study[0]), "clients": table})
    text = sites_text(study)
    assert text is not None
    assert [row[0] for row in text.rows] == ["north", "south", "west", "north (never trained)"]
    assert text.rows[3][6] == "–"


def test_arms_with_different_anchors_are_warned_of_where_shares_are_shown() -> None:
    other = [RunResult(**{**vars_of(run), "arm": f"{run.arm} 2", "anchor_key": "j"}) for run in STUDY]
    closed = gap_closed([*STUDY, *other])
    assert any("different anchors" in said for said in gap_sentences([*STUDY, *other], closed, "fed"))
    assert not any("different anchors" in said for said in gap_sentences(STUDY, gap_closed(STUDY), "fed"))
    columns = questions_table(answers([*STUDY, *other])).columns
    assert "arm" in columns
    assert "arm" not in questions_table(answers(STUDY)).columns
    numbers = questions_numbers(answers([*STUDY, *other]))
    assert numbers["arm"] == ["fed", "fed", "fed 2", "fed 2"] * 2
    assert numbers["anchor"] == ["centralised", "local"] * 4


@pytest.mark.slow
def test_the_page_begins_with_the_questions() -> None:
    page = page_html(Report("s", STUDY), {})
    places = [page.index(f"<h2>{title}</h2>") for title in ("Both questions", "Ranking", "Sites")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("scores", "first"),
    [
        (
            [0.938, 0.938],
            "No arm beats a constant answer: giving every example the same answer reaches 0.939, the best arm, fed, "
            "0.938.",
        ),
        (
            [0.938, 0.943],
            "No arm is shown to beat a constant answer: giving every example the same answer reaches 0.939, the best "
            "arm, fed, is better by +0.2 points [",
        ),
        ([0.959, 0.960], "fed reaches a test accuracy"),
    ],
)
def test_a_study_that_does_not_beat_a_constant_answer_says_so_first(scores: list[float], first: str) -> None:
    made = [
        RunResult(
            "s",
            "fed",
            seed,
            "FINISHED",
            {},
            ((1, {TEST: score, "generalisation/test_constant_accuracy": 0.939}),),
            TEST,
        )
        for seed, score in enumerate(scores)
    ]
    assert Report("s", made).verdict[0].startswith(first)


def test_the_level_stands_beside_the_gap() -> None:
    """An arm that is poor everywhere has a small gap too."""
    gap, own = "generalisation/out_of_sample_gap", "generalisation/client_accuracy"
    values = {TEST: 0.5, gap: 0.01, own: 0.48, f"{own}_mean": 0.47}
    made = [RunResult("s", "fed", seed, "FINISHED", {}, ((1, values),), TEST) for seed in range(2)]
    (row,) = ranked(made, [])
    assert (row.cells["client accuracy, pooled"], row.cells["out-of-sample gap"]) == ("0.480", "0.010")
    assert not any("unseen" in name for name in row.cells)
    (plain,) = ranked([*runs("fed", TOGETHER)], [])
    assert not any("client accuracy" in name for name in plain.cells)


def test_arms_with_another_answer_than_the_best_are_named() -> None:
    """The best arm by the central test set gains on being alone, another loses: both are said."""
    gains: Scores = (0.9, {"north": 0.98, "south": 0.90, "west": 0.95})
    study = [*STUDY, *runs("best", gains)]
    said = Report("s", study).verdict
    assert said[0].startswith("Better together than alone: ")
    assert said[0].endswith("(Best arm: best.)")
    assert said[1].startswith(
        "The answer is another one in other arms: fed, better alone than together (−10.0 points ["
    )
    assert not any("another one" in sentence for sentence in Report("s", STUDY).verdict)


def test_each_question_is_answered_by_its_own_best_arm() -> None:
    """An arm that serves sites best on their own people need not be the best single model for everybody."""
    for_sites: Scores = (0.6, {"north": 0.98, "south": 0.90, "west": 0.95})
    report = Report("s", [*STUDY, *runs("sites", for_sites)])
    everybody, alone = report.answers
    assert (everybody.best, alone.best) == ("fed", "sites")
    assert report.verdict[0].startswith("Better together than alone: ")
    assert report.verdict[0].endswith("(Best arm: sites.)")
    assert any("0.800" in sentence and sentence.endswith("(Best arm: fed.)") for sentence in report.verdict)


def test_a_measure_that_a_study_asks_for_is_answered_as_any_other() -> None:
    """AUROC of sites is their mean: scores of different local models are on no one scale. Two sites lack a class."""
    test, own = "generalisation/test_auroc", "generalisation/client_auroc"

    def scored(arm: str, score: float, anchor: str = "") -> list[RunResult]:
        table = {
            "client": ["a", "b"],
            "takes_part": [True] * 2,
            "held_out_examples": [5, 5],
            "auroc": [score, None],
        }
        values = {test: score, own: 0.1, f"{own}_mean": score, f"{own}_clients": 1.0}
        values["generalisation/client_constant_auroc_mean"] = 0.5
        fields = {"anchor": anchor, "anchor_key": "k", "clients": table}
        return [
            RunResult("s", arm, seed, "FINISHED", NATURAL, ((1, values),), test, **fields)
            for seed in range(3)
        ]

    study = [*scored("fed", 0.7), *scored("local", 0.6, "local")]
    everybody, alone = answers(study)
    assert alone.metric == f"{own}_mean"
    assert alone.scored_on == "the sites' own held-out examples, mean over sites (defined for 1 of them)"
    assert alone.arms[0].constant == 0.5
    said = Report("s", study).verdict
    assert (
        "1 of 1 sites for which AUROC is defined (of 2) do better with federated training than alone; on average over "
        "sites they reach 0.700 AUROC" in said[0]
    )
    assert "+10.0 points" in said[0]
    assert everybody.arms[0].against["local"].estimate == pytest.approx(0.1)
    assert questions_table([everybody, alone]).rows[1][-1] == "0.500"


def test_no_arm_is_only_said_where_all_fall_short() -> None:
    """The best by score has the harder data: its constant answer is as good, another arm's far worse."""

    def scored(arm: str, score: float, constant: float) -> list[RunResult]:
        values = {TEST: score, "generalisation/test_constant_accuracy": constant}
        return [RunResult("s", arm, seed, "FINISHED", {}, ((1, values),), TEST) for seed in range(2)]

    said = Report("s", [*scored("rare", 0.93, 0.94), *scored("common", 0.8, 0.5)]).verdict
    assert said[0].startswith("The best arm does not beat a constant answer: ")
    said = Report("s", [*scored("rare", 0.93, 0.94), *scored("common", 0.4, 0.5)]).verdict
    assert said[0].startswith("No arm beats a constant answer: ")


def measured(measure: str, scores: dict[str, list[float | None]], **changes: Any) -> list[RunResult]:
    """Arm -> its clients' scores, the same with each of three seeds."""
    own = f"generalisation/client_{measure}"
    made = []
    for arm, of_clients in scores.items():
        known = [score for score in of_clients if score is not None]
        mean, count = float(np.mean(known)) if known else None, len(of_clients)
        table = {
            "client": [f"c{at}" for at in range(count)],
            "takes_part": [True] * count,
            "held_out_examples": [5] * count,
            measure: of_clients,
        }
        values = {f"generalisation/test_{measure}": 0.5 if mean is None else mean}
        values |= {} if mean is None else {own: mean, f"{own}_mean": mean}
        fields = {"anchor": "local" if arm == "local" else "", "anchor_key": "k", "clients": table}
        made += [
            RunResult(
                "s",
                arm,
                seed,
                "FINISHED",
                {**NATURAL, **changes},
                ((1, values),),
                f"generalisation/test_{measure}",
                **fields,
            )
            for seed in range(3)
        ]
    return made


def test_clients_without_the_measure_are_none_of_those_that_do_better() -> None:
    scores = {"fed": [0.8] * 7 + [None] * 3, "local": [0.7] * 7 + [None] * 3}
    by_name = Report("s", measured("auroc", scores)).verdict[0]
    assert "7 of 7 sites for which AUROC is defined (of 10) do better with federated" in by_name
    made_up = Report("s", measured("auroc", scores, partitioner="iid")).verdict[0]
    assert "all clients for which AUROC is defined (70 % of all) do better with federated" in made_up


def test_nearly_all_clients_are_not_all() -> None:
    scores = {"fed": [0.8] * 199 + [0.6], "local": [0.7] * 200}
    said = Report("s", measured("accuracy", scores, partitioner="iid")).verdict[0]
    assert "more than 99 % of the clients do better" in said


def test_where_lower_is_better_a_loss_names_its_measure() -> None:
    said = Report("s", measured("calibration_error", {"fed": [0.05, 0.2], "local": [0.1, 0.1]})).verdict
    (lost,) = [each for each in said if "worse together than alone" in each]
    assert lost.endswith("c1 (ECE +10.0 points).")


def test_a_measure_that_no_client_has_does_not_ask_for_examples_that_are_there() -> None:
    scores: dict[str, list[float | None]] = {"fed": [None, None], "local": [None, None]}
    said = " ".join(Report("s", measured("auroc", scores, **{"holdout.client": 0.2})).verdict)
    assert "the measure is not defined on the examples that each site keeps" in said
    assert "set holdout.client" not in said


def test_studies_side_by_side_show_one_measure_of_sites() -> None:
    """The other study spread MSE over its sites alone; its 5.0 is no R2."""
    stated = measured("r2", {"a": [0.7, 0.7]})
    other = [
        replace(
            run,
            arm="b",
            clients={**{name: of for name, of in run.clients.items() if name != "r2"}, "mse": [5.0, 5.0]},
            history=((1, {"generalisation/test_r2": 0.6, "generalisation/client_mse_mean": 5.0}),),
        )
        for run in stated
    ]
    table = sites_text([*stated, *other])
    assert table is not None
    assert [row[table.columns.index("a")] for row in table.rows] == ["0.700", "0.700"]
    assert "5.000" not in str(table.rows)
