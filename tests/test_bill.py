"""Bills: quantities times prices, worked out by hand, and nothing where there is no price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federated.forecast import Amount, ArmForecast, Forecast, forecast_of_json
from federated.foundation.errors import BadInput
from federated.report import Report, RunResult, page_html
from federated.report.bill import (
    bill_in_all,
    bill_numbers,
    bill_of_all,
    bill_table,
    bills,
    foreseen_bills,
    site_bills,
    sites_bill_numbers,
    sites_bill_table,
    stated_prices,
    study_metrics,
)
from federated.report.bill.tables import lines_table
from federated.report.costs.forecast_against_fact import Took, foreseen
from federated.report.figures.arms.charts import charts
from federated.study.further.prices import Prices, prices_in, told_apart
from federated.study.study import StudyConfig, read_study

ACCURACY = "generalisation/test_accuracy"
PRICES = Prices(
    currency="EUR",
    gb_up=10.0,
    gb_down=2.0,
    core_hour=0.5,
    kwh=0.4,
    co2_per_kwh=0.25,
    watts_per_core=20.0,
)
USED: dict[str, float] = {
    "communication/uplink_bytes_total": 3e8,
    "communication/downlink_bytes_total": 5e8,
    "bill/rounds": 7,
    "bill/core_seconds": 1800.0,
    "bill/data_bytes": 2e9,
    "system/run_seconds": 30.0,
}


def run(arm: str = "a", seed: int = 0, **changes: Any) -> RunResult:
    """used: metrics beside or instead of the usual ones, None: not logged."""
    used = {name: value for name, value in {**USED, **changes.pop("used", {})}.items() if value is not None}
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY}
    return RunResult("s", arm, seed, **{**fields, "history": ((7, {ACCURACY: 0.5, **used}),), **changes})


def test_a_bill_is_quantities_times_prices() -> None:
    (bill,) = bills([run()], PRICES)
    by_line = {item.what: item for item in bill.items}
    assert by_line["sent by clients"].amount == pytest.approx(0.3 * 10)
    assert by_line["received by clients"].amount == pytest.approx(0.5 * 2)
    assert by_line["processor"].amount == pytest.approx(0.5 * 0.5)
    assert bill.kwh == pytest.approx(0.5 * 20 / 1000)
    assert bill.co2 == pytest.approx(0.01 * 0.25)
    assert bill.money == pytest.approx(3 + 1 + 0.25 + 0.01 * 0.4)
    assert "raw data, moved to one place" not in by_line


def test_energy_that_was_measured_is_not_computed() -> None:
    (bill,) = bills([run(used={"bill/energy_joules": 7.2e6, "bill/gpu_seconds": 3600.0})], PRICES)
    assert bill.kwh == pytest.approx(2.0)  # a GPU without stated watts has none
    (with_gpu,) = bills(
        [run(used={"bill/energy_joules": 7.2e6, "bill/gpu_seconds": 3600.0})],
        PRICES.model_copy(update={"watts_per_gpu": 300.0}),
    )
    assert with_gpu.kwh == pytest.approx(2.3)
    assert with_gpu.co2 == pytest.approx(2.3 * 0.25)


def test_the_centralised_anchor_pays_for_the_raw_data_and_for_nothing_else_that_travels() -> None:
    nothing = {"communication/uplink_bytes_total": 0.0, "communication/downlink_bytes_total": 0.0}
    found = bills([run(), run("centralised", anchor="centralised", used=nothing)], PRICES)
    assert found[1].money == pytest.approx(2 * 10 + 0.25 + 0.004)
    table = bill_table(found, None, PRICES)
    at = table.columns.index("MB up")
    assert [row[at] for row in table.rows] == ["300", "2,000"]
    assert "raw training data" in table.note


def test_without_prices_there_is_no_money_no_energy_and_no_carbon_dioxide() -> None:
    found = bills([run()])
    assert (found[0].money, found[0].kwh, found[0].co2) == (None, None, None)
    table = bill_table(found, None, None)
    assert table.columns == ["one training", "rounds", "MB up", "MB down", "core-hours"]
    assert "no money is shown" in table.note
    only_up = bills([run()], Prices(gb_up=1.0))[0]
    assert only_up.money == pytest.approx(0.3)


def test_the_bill_of_an_arm_is_the_mean_and_that_of_all_runs_the_sum() -> None:
    runs = [run(seed=0), run(seed=1, used={"bill/core_seconds": 5400.0}), run(seed=2, status="FAILED")]
    (bill,) = bills(runs, PRICES)
    assert bill.runs == 2
    assert bill.quantity("processor") == pytest.approx(1.0)
    whole = bill_of_all(runs, PRICES)
    assert whole is not None
    assert whole.money == pytest.approx(2 * (bill.money or 0))
    assert whole.quantity("rounds") is None
    assert bill_table([bill], whole, PRICES).rows[-1][0] == "all 2 runs"
    assert bill_of_all([run(status="FAILED")]) is None


def test_an_epsilon_is_the_largest_of_the_seeds_and_is_never_added_up() -> None:
    runs = [run(seed=seed, used={"privacy/epsilon": epsilon}) for seed, epsilon in enumerate((1.0, 3.0))]
    assert bills(runs)[0].quantity("epsilon") == 3.0
    whole = bill_of_all(runs)
    assert whole is not None
    assert whole.quantity("epsilon") is None


def test_every_line_names_its_metric_and_its_price() -> None:
    found = bills([run()], PRICES)
    rows = {row[1]: row for row in lines_table(found, PRICES).rows}
    assert rows["sent by clients"][3:] == [
        "communication/uplink_bytes_total",
        "counted",
        "gb_up 10",
        "3.00",
    ]
    assert rows["processor"][3:6] == ["bill/core_seconds", "measured here", "core_hour 0.5"]
    assert rows["energy, processor"][4] == "computed: times watts_per_core 20"
    assert rows["time on this machine"][5:] == ["–", "–"]
    numbers = bill_numbers(found)
    assert len(numbers["arm"]) == len(rows)
    known = {name for metrics in (USED, {ACCURACY: 0}) for name in metrics}
    assert set(numbers["metric"]) <= known


def test_the_page_has_the_bill_and_where_it_comes_from() -> None:
    page = page_html(Report("s", [run(), run(seed=1)], prices=PRICES), {})
    assert "cost, EUR" in page
    assert "communication/uplink_bytes_total" in page
    assert "computed: times watts_per_core 20" in page


BY_CLIENT = {
    "client": ["north", "south"],
    "rounds": [7, 3],
    "uplink_bytes": [2e8, 1e8],
    "downlink_bytes": [3e8, 2e8],
    "examples_trained_on": [300.0, 100.0],
    "data_bytes": [15e8, 5e8],
}


def test_a_site_pays_for_its_own_bytes_and_its_share_of_the_work() -> None:
    natural = {"parameters": {"partitioner": "by_client"}, "by_client": BY_CLIENT}
    north, south = site_bills([run(**natural), run(seed=1, **natural)], PRICES)
    assert (north.site, south.site) == ("north", "south")
    assert north.bill.quantity("processor") == pytest.approx(0.75 * 0.5)
    assert north.bill.money == pytest.approx(0.2 * 10 + 0.3 * 2 + 0.375 * 0.5 + 0.375 * 0.02 * 0.4)
    (whole,) = bills([run()], PRICES)
    assert (north.bill.money or 0) + (south.bill.money or 0) == pytest.approx(whole.money)
    table = sites_bill_table([north, south], PRICES)
    assert [row[0] for row in table.rows] == ["north", "south"]
    assert table.columns[-2:] == ["cost, EUR", "raw data, MB"]
    assert "cost, EUR" not in sites_bill_table(site_bills([run(**natural)], None), None).columns
    assert set(sites_bill_numbers([north])["client"]) == {"north"}
    assert "Site by site" in page_html(Report("s", [run(**natural)], prices=PRICES), {})


def test_the_bills_of_sites_add_up_to_that_of_their_arm() -> None:
    used = {"bill/gpu_seconds": 3600.0, "bill/energy_joules": 7.2e6}
    natural = {"parameters": {"partitioner": "by_client"}, "by_client": BY_CLIENT, "used": used}
    dear = PRICES.model_copy(update={"watts_per_gpu": 300.0, "gpu_hour": 3.0})
    runs = [run(**natural), run(seed=1, **{**natural, "used": {**used, "bill/energy_joules": None}})]
    found, (whole,) = site_bills(runs, dear), bills(runs, dear)
    for item in whole.items:
        if item.what not in ("rounds", "time on this machine"):
            assert sum(each.bill.quantity(item.what) or 0 for each in found) == pytest.approx(
                whole.quantity(item.what)
            )
    assert sum(each.bill.money or 0 for each in found) == pytest.approx(whole.money)
    assert sum(each.bill.kwh or 0 for each in found) == pytest.approx(whole.kwh)
    table = sites_bill_table(found, dear)
    assert [row[table.columns.index("GPU-hours")] for row in table.rows] == ["0.750", "0.250"]


def test_energy_that_some_seeds_measured_and_of_others_is_computed_is_the_mean_of_all() -> None:
    joules = [None, None, 7.2e6, 10.8e6]  # computed: 0.01 kWh; measured: 2 and 3
    runs = [run(seed=seed, used={"bill/energy_joules": each}) for seed, each in enumerate(joules)]
    (bill,), whole = bills(runs, PRICES), bill_of_all(runs, PRICES)
    assert bill.kwh == pytest.approx((0.01 + 0.01 + 2 + 3) / 4)
    assert bill.co2 == pytest.approx(bill.kwh * 0.25)
    assert bill.money == pytest.approx(3 + 1 + 0.25 + bill.kwh * 0.4)
    assert whole is not None
    assert (whole.kwh, whole.money) == pytest.approx((4 * bill.kwh, 4 * bill.money))
    note = bill_table([bill], whole, PRICES).note
    assert "Where it was not measured, it is computed" in note
    assert "GPU" not in note
    origins = [item.origin for item in bill.items if item.unit == "kWh"]
    assert origins == ["computed: times watts_per_core 20, in 2 of 4 runs", "measured here, in 2 of 4 runs"]


def test_what_some_runs_did_not_log_is_in_no_sum() -> None:
    old = {"bill/core_seconds": None}
    runs = [run(seed=0), run(seed=1, used=old), *[run("b", seed, used=old) for seed in (0, 1)]]
    found, whole = bills(runs, PRICES), bill_of_all(runs, PRICES)
    assert (found[0].quantity("processor"), found[0].money) == pytest.approx((0.5, 4.254))
    assert "0.500 core-hours (mean of 1 of 2 runs)" in {row[2] for row in lines_table(found, PRICES).rows}
    assert whole is not None
    for bill in (found[1], whole):
        assert (bill.quantity("processor"), bill.kwh, bill.co2, bill.money) == (None, None, None, None)
        assert bill.quantity("sent by clients") is not None
    table = bill_table(found, whole, PRICES)
    unknown = [table.columns.index(title) for title in ("core-hours", "Wh", "g CO2", "cost, EUR")]
    assert {row[at] for row in table.rows[1:] for at in unknown} == {"not known"}
    assert "processor (b, all runs)" in table.note
    assert study_metrics(runs, PRICES) == {}
    assert study_metrics(runs, Prices(gb_up=1)) == {"bill/study_cost": pytest.approx(4 * 0.3)}
    actual = [
        run(seed=0),
        run(seed=1, used=old),
        *[run("centralised", s, anchor="centralised") for s in (0, 1)],
    ]
    table = foreseen(forecast(), actual, Took(), PRICES).table
    assert not any("core" in row[0] or "cost" in row[0] for row in table.rows)


def test_raw_data_that_an_older_run_did_not_count_are_not_free() -> None:
    nothing = {"communication/uplink_bytes_total": 0.0, "bill/data_bytes": None}
    runs = [run(used={"bill/data_bytes": None}), run("centralised", anchor="centralised", used=nothing)]
    found = bills(runs, PRICES)
    assert found[0].money == pytest.approx(4.254)
    table = bill_table(found, bill_of_all(runs, PRICES), PRICES)
    for title in ("MB up", "cost, EUR"):
        assert [row[table.columns.index(title)] for row in table.rows[1:]] == ["not known", "not known"]
    assert "raw data, moved to one place (centralised, all runs)" in table.note
    free = bills(runs, Prices(core_hour=0.5))[1]
    assert free.money == pytest.approx(0.25)  # what data cost is not asked


def test_runs_without_a_gpu_beside_those_on_one_used_none() -> None:
    runs = [run(), run("b", used={"bill/gpu_seconds": 7200.0})]
    whole = bill_of_all(runs, PRICES.model_copy(update={"gpu_hour": 3.0, "watts_per_gpu": 300.0}))
    assert whole is not None
    assert whole.quantity("GPU") == pytest.approx(2.0)
    assert whole.kwh == pytest.approx(2 * 0.01 + 0.6)


@pytest.mark.parametrize(
    ("prices", "used", "said"),
    [
        ({"watts_per_core": 20, "kwh": 1}, {"bill/gpu_seconds": 9.0}, "`watts_per_gpu` is not stated"),
        ({}, {"bill/gpu_seconds": 9.0, "bill/energy_joules": 5.0}, "`watts_per_gpu` is not stated"),
        (
            {"kwh": 1, "co2_per_kwh": 1},
            {},
            "`kwh` and `co2_per_kwh` had nothing to price: no energy was measured",
        ),
        ({"gpu_hour": 1, "gb_up": 1}, {}, "`gpu_hour` had nothing to price."),
        ({"gb_up": 1, "watts_per_gpu": 9}, {}, "`watts_per_gpu` was not used: no time on a GPU is known."),
        ({"kwh": 1, "watts_per_gpu": 9}, {}, "and of nothing that has watts the hours are known."),
        (
            {"watts_per_core": 9},
            {"bill/energy_joules": 5.0},
            "`watts_per_core` was not used: the processors' energy was measured. No money is shown",
        ),
        ({"watts_per_core": 9}, {"bill/core_seconds": None}, "not used: no processor time is known."),
        ({}, {"privacy/epsilon": 2.0}, "Epsilon is the largest of the seeds"),
    ],
)
def test_what_is_not_priced_is_said(prices: dict[str, float], used: dict[str, float], said: str) -> None:
    stated = Prices(**prices)
    assert said in bill_table(bills([run(used=used)], stated), None, stated).note
    more = PRICES.model_copy(update={"watts_per_gpu": 300.0})
    note = bill_table(bills([run(used={"bill/gpu_seconds": 9.0})], more), None, more).note
    assert "not stated" not in note
    assert "nothing to price" not in note
    assert "not used" not in note


def test_clients_that_a_study_makes_up_have_no_bill_by_name() -> None:
    assert site_bills([run(by_client=BY_CLIENT, parameters={"partitioner": "iid"})], PRICES) == []


def test_the_bill_of_a_study_is_in_mlflow() -> None:
    found = study_metrics([run(), run(seed=1)], PRICES)
    assert found["bill/study_core_seconds"] == pytest.approx(3600)
    assert found["bill/study_cost"] == pytest.approx(2 * 4.254)
    assert set(study_metrics([run()], None)) == {"bill/study_core_seconds"}
    assert study_metrics([], PRICES) == {}


def test_a_run_that_went_on_has_no_half_of_its_time() -> None:
    (bill,) = bills([run(resumed_from=3)])
    assert bill.quantity("time on this machine") is None


def forecast(prices: Prices | None = PRICES) -> Forecast:
    """Of two runs each of an arm as `run()` has them, and of the centralised anchor with 2 GB of data."""
    used = {"bill/rounds": 7.0, "bill/data_bytes": 2e9, "bill/core_seconds": 1800.0}
    up, down = Amount(5e8, 6e8, 7e8), Amount(1e9, 1e9, 1e9)
    arms = (
        ArmForecast("a", 2, 7, False, 60.0, up, down, used=used),
        ArmForecast(
            "centralised", 2, 7, False, 60.0, *[Amount(0, 0, 0)] * 2, used=used, anchor="centralised"
        ),
    )
    stated = None if prices is None else prices.model_dump()
    return Forecast(arms, 1, 1, 120.0, 1.0, 500.0, 8000.0, False, "", (), around_seconds=0.0, prices=stated)


def test_the_bill_that_is_foreseen_has_the_lines_of_the_one_that_comes() -> None:
    nothing = {"communication/uplink_bytes_total": 0.0, "communication/downlink_bytes_total": 0.0}
    runs = [run(seed=seed) for seed in (0, 1)]
    runs += [run("centralised", seed, anchor="centralised", used=nothing) for seed in (0, 1)]
    before, after = foreseen_bills(forecast(), PRICES), bills(runs, PRICES)
    for expected, found in zip(before, after, strict=True):
        assert expected.money == pytest.approx(found.money)
        lines = {item.what: item.quantity for item in found.items if item.what != "time on this machine"}
        assert {item.what: item.quantity for item in expected.items} == pytest.approx(lines)
    whole, all_found = bill_in_all(before), bill_of_all(runs, PRICES)
    assert whole is not None
    assert all_found is not None
    assert whole.money == pytest.approx(all_found.money)
    table = foreseen(forecast(), runs, Took(), PRICES).table
    assert {row[0]: row[3] for row in table.rows if "core" in row[0] or "cost" in row[0]} == {
        "core-hours of the rounds": "1.00",
        "cost, EUR": "1.00",
    }
    assert "cost" not in " ".join(row[0] for row in foreseen(forecast(), runs[:3], Took(), PRICES).table.rows)


def test_a_forecast_keeps_its_prices_and_older_ones_have_no_bill() -> None:
    assert stated_prices(forecast_of_json(forecast().as_json())) == PRICES
    assert stated_prices(forecast(None)) is None
    assert bill_in_all([]) is None


def test_the_chart_has_the_money_of_each_arm_anchors_included() -> None:
    runs = [run("a"), run("b", used={"communication/uplink_bytes_total": 9e8})]
    runs.append(run("centralised", anchor="centralised"))
    chart = charts(Report("s", runs, prices=PRICES))["by-cost"]
    costs = {row["arm"]: row["cost"] for row in chart["data"]["values"]}
    assert costs == pytest.approx({"a": 4.254, "b": 10.254, "centralised": 24.254})
    assert "EUR" in chart["encoding"]["x"]["title"]
    assert "by-cost" not in charts(Report("s", runs))
    assert "by-cost" not in charts(Report("s", runs[:1], prices=PRICES))


BASE = "name: s\nbase: {dataset: digits, model: logistic, clients: 8, rounds: 3}\n"


def test_prices_stand_in_the_study_or_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("gb_up: 0.02\ncurrency: EUR\n", encoding="utf-8")
    named, stated = tmp_path / "named.yaml", tmp_path / "stated.yaml"
    named.write_text(f"{BASE}prices: prices.yaml\n", encoding="utf-8")
    stated.write_text(f"{BASE}prices: {{gb_up: 0.02, currency: EUR}}\n", encoding="utf-8")
    assert read_study(named).prices == read_study(stated).prices == Prices(gb_up=0.02, currency="EUR")
    assert prices_in(named) == prices_in(stated) == prices_in(tmp_path / "prices.yaml")
    dumped = read_study(named).model_dump(mode="json")
    assert StudyConfig.model_validate(dumped).prices == read_study(named).prices


def test_prices_change_no_run() -> None:
    base = {"dataset": "digits", "model": "logistic", "clients": 8, "rounds": 3}
    cheap, dear = (
        StudyConfig.model_validate({"name": "s", "base": base, **more})
        for more in ({}, {"prices": {"gb_up": 9}})
    )
    assert [run.config.run_key() for run in cheap.runs()] == [run.config.run_key() for run in dear.runs()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gb_up: -1", "gb_up: .*greater than or equal to 0"),
        ("gb_upp: 1", "gb_upp"),
        ("gb_up: cheap", "gb_up"),
        ("- 1", "must be a mapping with prices"),
        ("gb_up: [", "not valid YAML"),
    ],
)
def test_what_is_no_price_is_said(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        prices_in(file)
    study = tmp_path / "study.yaml"
    study.write_text(f"{BASE}prices: prices.yaml\n", encoding="utf-8")
    with pytest.raises(BadInput, match="prices"):
        read_study(study)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(f"{BASE}prices: gone.yaml\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"cannot read the file of prices .*gone\.yaml: No such file"):
        read_study(study)


def test_files_that_name_each_other_for_ever_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("prices: b.yaml\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text(f"prices: ../{tmp_path.name}/a.yaml\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"prices: .*a\.yaml names itself, by way of .*a\.yaml and .*b\.yaml"):
        prices_in(tmp_path / "a.yaml")


def test_a_file_of_prices_in_the_home_folder_is_found_by_way_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "prices.yaml").write_text("gb_up: 2\n", encoding="utf-8")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "study.yaml").write_text(f"{BASE}prices: ~/prices.yaml\n", encoding="utf-8")
    assert prices_in(tmp_path / "below" / "study.yaml").gb_up == 2


@pytest.mark.parametrize("more", ["", "prices: null\n"])
def test_a_study_without_prices_has_none_to_compare_with(tmp_path: Path, more: str) -> None:
    (tmp_path / "study.yaml").write_text(BASE + more, encoding="utf-8")
    with pytest.raises(BadInput, match=r"study\.yaml states no prices"):
        prices_in(tmp_path / "study.yaml")


def test_two_files_of_one_name_and_other_prices_have_reports_of_their_own() -> None:
    names = {
        told_apart(Path(folder) / "prices.yaml", Prices(gb_up=up)) for folder, up in (("a", 1), ("b", 2))
    }
    assert len(names) == 2
    assert all(name.startswith("prices-") for name in names)
    assert told_apart(Path("c/prices.yaml"), Prices(gb_up=1)) in names
