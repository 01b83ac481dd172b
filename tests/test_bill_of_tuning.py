"""The bill of tuning: what trials and finalists used, by hand, beside the bill of the runs, foreseen and spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federated.forecast import Amount, ArmForecast, Forecast, forecast_of_json
from federated.forecast.seconds.tuning import forecast_tuned
from federated.forecast.summary import TuningForecast
from federated.report import Report, RunResult, page_html
from federated.report.bill import foreseen_tuning_bills, tuning_bills, tuning_in_all, tuning_metrics
from federated.report.bill.tables import bill_table, lines_table
from federated.report.costs.forecast_against_fact import Took, foreseen
from federated.report.page.tables import tables_of
from federated.report.tuning.before_and_after import apart, choices_table, tuned_among
from federated.study.further.prices import Prices
from federated.tuning.found import ArmTuning, Cost, Finalist, Trial
from tests.test_bill import PRICES, run
from tests.test_tuning import study

UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
METRIC = "generalisation/tuning_accuracy"


def cost(rounds: int, factor: float = 1.0, **changes: Any) -> Cost:
    used = {UP: factor * 2e8, DOWN: factor * 1e8, "bill/core_seconds": factor * 360.0}
    return Cost(rounds, factor * 300, 4.0, **{"used": used, **changes})


def arm(name: str = "a", **changes: Any) -> ArmTuning:
    """Three trials, the last with the values of the first, and a finalist with two seeds."""
    trials = [Trial(at, {"mu": mu}, 0.5, "complete", cost(4)) for at, mu in enumerate([0.1, 0.2, 0.1])]
    fields: dict[str, Any] = {
        "trials": tuple(trials),
        "finalists": (Finalist(0, (0.5, 0.6), cost(8, 2.0)),),
        "choice": {"mu": 0.1},
    }
    return ArmTuning(
        **{
            "arm": name,
            "metric": METRIC,
            "higher_is_better": True,
            "space": {"mu": "x"},
            "stated": {},
            **fields,
            **changes,
        }
    )


OLDER = arm(
    "b", trials=(Trial(0, {"mu": 0.1}, 0.5, "complete", Cost(4, 300.0, 2.0)),), finalists=(), choice={}
)


def test_an_arms_tuning_is_what_its_trainings_used_at_the_stated_prices() -> None:
    (bill,) = tuning_bills([arm()], PRICES)
    assert (bill.of, bill.runs) == ("tuning of a", 4)
    by_line = {item.what: item for item in bill.items}
    assert by_line["rounds"].quantity == 4 + 4 + 8
    assert by_line["sent by clients"].amount == pytest.approx(0.8 * 10)  # 4 x 0.2 GB
    assert by_line["received by clients"].amount == pytest.approx(0.4 * 2)
    assert by_line["processor"].quantity == pytest.approx(4 * 0.1)
    kwh = 0.4 * 20 / 1000
    assert bill.kwh == pytest.approx(kwh)
    assert bill.co2 == pytest.approx(kwh * 0.25)
    assert bill.money == pytest.approx(8 + 0.8 + 0.4 * 0.5 + kwh * 0.4)
    assert by_line["processor"].metric == "bill/core_seconds"
    assert "epsilon" not in by_line


def test_epsilons_of_trainings_add_up_and_stand_apart() -> None:
    private = replace(arm(), trials=(Trial(0, {"mu": 1}, 0.5, "complete", cost(4, epsilon=1.5)),))
    private = replace(private, finalists=(Finalist(0, (0.5, 0.5), cost(8, epsilon=3.0)),))
    found = tuning_metrics([private, private], PRICES)
    assert found["bill/tuning_epsilon"] == 9.0
    assert found["bill/tuning_rounds"] == 24
    assert found["bill/tuning_uplink_bytes"] == pytest.approx(2 * 4e8)
    assert found["bill/tuning_core_seconds"] == pytest.approx(2 * 720)
    assert {"bill/tuning_cost", "bill/tuning_kwh", "bill/tuning_co2_kg"} < found.keys()
    assert tuning_metrics([], PRICES) == {}


def test_what_an_older_version_did_not_note_is_not_known() -> None:
    both = tuning_bills([arm(), OLDER], PRICES)
    assert both[1].quantity("rounds") == 4
    in_all = tuning_in_all(both)
    assert in_all is not None
    for bill in (both[1], in_all):
        assert bill.money is None
        assert bill.kwh is None
        assert {"sent by clients", "received by clients", "processor", "energy"} <= set(bill.lacks)
    assert in_all.quantity("rounds") == 20


def page_of(arms: list[ArmTuning], prices: Prices | None, runs: list[RunResult]) -> tuple[Report, str]:
    compared, untuned = apart(runs)
    report = Report("s", compared, prices=prices, tuned=tuned_among(arms, compared, untuned))
    return report, page_html(report, {})


def test_the_report_has_tuning_beside_all_runs_untuned_ones_included() -> None:
    runs = [run("a", 0), run("a", 1), run("b", 0), run("b", 1), run("a · untuned", 0), run("a · untuned", 1)]
    report, page = page_of([arm("a"), arm("b")], PRICES, runs)
    assert report.whole_bill is not None
    assert report.whole_bill.runs == 6
    table = bill_table(report.bills, report.whole_bill, PRICES, tuning=report.tuning_bills)
    assert [row[0] for row in table.rows] == [
        *(
            "a",
            "b",
            "all 6 runs",
            "tuning of a, 4 trainings",
            "tuning of b, 4 trainings",
            "tuning, 8 trainings",
        ),
        "runs and tuning",
    ]
    assert float(table.rows[-1][2].replace(",", "")) == pytest.approx(6 * 300 + 8 * 200)
    assert "runs and tuning" in page
    assert len(report.all_results) == 6
    before = [(each.arm, each.seed) for each in report.tuned.before] if report.tuned else []
    assert before == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]  # b chose what was stated
    rows = tables_of(report)["bill.json"]
    assert set(rows["arm"]) == {"a", "b", "tuning of a", "tuning of b"}
    assert "tuning of a" in [row[0] for row in lines_table(report.tuning_bills, PRICES).rows]
    row = {row[0]: row for row in choices_table(report.tuned).rows} if report.tuned else {}
    assert row["a"][6:8] == ["4", "16"]
    _, older = page_of([OLDER], PRICES, runs[:2])
    assert "not known" in older


def test_a_study_whose_arms_all_chose_what_was_stated_has_its_differences_before() -> None:
    runs = [run(name, seed) for name in ("a", "b") for seed in range(3)]
    report, _ = page_of([arm("a"), arm("b")], None, runs)
    baseline, row = report.differences.rows
    assert row[3:5] == row[5:7] != ["–", "–"]
    assert baseline == ["a", row[1], row[1], "–", "baseline", "–", "baseline"]
    assert report.verdict[-1] == "Tuning all arms alike changes no verdict against a."


def test_a_lead_that_was_the_rate_s_alone_is_gone_after_tuning_and_the_verdict_says_so() -> None:
    def scored(name: str, *scores: float) -> list[RunResult]:
        history = [((7, {"generalisation/test_accuracy": score}),) for score in scores]
        return [run(name, seed, history=each) for seed, each in enumerate(history)]

    tuned = [*scored("plain", 0.8, 0.81, 0.79), *scored("lucky", 0.801, 0.8105, 0.791)]
    stated = [*scored("plain · untuned", 0.5, 0.51, 0.49), *scored("lucky · untuned", 0.8, 0.82, 0.8)]
    close = (Finalist(0, (0.5, 0.6), cost(8)), Finalist(1, (0.52, 0.5), cost(8)))
    report, page = page_of([arm("plain"), arm("lucky", finalists=close)], None, [*tuned, *stated])
    assert report.differences.columns[:3] == ("arm", "test accuracy before", "test accuracy after")
    assert [row[:3] for row in report.differences.rows] == [
        ["plain", "0.500", "0.800"],
        ["lucky", "0.807", "0.801"],
    ]
    said, unsure = report.verdict[-2:]
    assert unsure.startswith(
        "The choice of lucky was not sure: another finalist was as good or better with some"
    )
    assert said.startswith(
        "Tuning all arms alike changes the verdict against plain on lucky (as stated better, +0.307 ["
    )
    assert said.endswith("; tuned no difference, +0.001 [0.000, +0.002]).")
    assert said in page


def of_arm(name: str, runs: int = 2) -> ArmForecast:
    used = {"bill/rounds": 7.0, "bill/core_seconds": 1800.0, "bill/data_bytes": 2e9}
    sent = Amount(3e8 * runs, 3e8 * runs, 3e8 * runs)
    return ArmForecast(name, runs, 7, False, 10.0 * runs, sent, sent, used=used)


def test_tuning_is_foreseen_and_held_against_what_it_took() -> None:
    tuning = TuningForecast(
        "a", 5, 20.0, {"bill/rounds": 20.0, UP: 1e9, DOWN: 5e8, "bill/core_seconds": 1800.0}
    )
    forecast = Forecast(
        (of_arm("a"), of_arm("a · untuned")),
        1,
        1,
        60.0,
        1.0,
        500.0,
        900.0,
        True,
        "none",
        (),
        tunings=(tuning,),
    )
    assert forecast_of_json(forecast.as_json()) == forecast
    (bill,) = foreseen_tuning_bills(forecast, PRICES)
    assert bill.money == pytest.approx(10 + 1 + 0.25 + 0.01 * 0.4)
    results = [run("a", 0), run("a", 1)]
    rows = {row[0]: row[1:] for row in foreseen(forecast, results, Took(), PRICES, [arm()]).table.rows}
    assert rows["tuning: trainings"] == ("5", "4", "0.80")
    assert rows["tuning: rounds"] == ("20", "16", "0.80")
    assert rows["tuning: MB up"][2] == "0.80"
    assert rows["tuning: core-hours"][2] == "0.80"
    assert rows["tuning: time of its trainings"] == ("20 s", "12 s", "0.60")
    assert (
        rows["MB up"][1] == "600"
    )  # an arm that chose what was stated has no untuned form, which was foreseen
    assert "tuning: epsilon" not in rows


@pytest.mark.nightly
def test_the_forecast_counts_what_can_be_trained_and_leaves_out_arms_that_choose_nothing() -> None:
    lists = {"algorithm.server_learning_rate": [0.5, 1.0]}
    wanted = study(
        anchors=["centralised"],
        base={
            "privacy": "central_gaussian(norm=1, noise_multiplier=0.3)",
            "cohort": {"size": 2, "weighting": "uniform"},
        },
        tuning={"space": lists, "budget": 9, "rounds": 1},
    )
    made = forecast_tuned(wanted)
    (only,) = made.tunings
    assert (only.arm, only.trainings) == ("tuned", 2 + 2 * 2)
    assert only.used["bill/rounds"] == 6
    assert only.epsilon > 0
    assert "1 arm, at most 6 trainings" in made.tuning
    assert "by basic composition" in made.tuning
