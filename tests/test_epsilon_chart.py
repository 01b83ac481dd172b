"""Scores against epsilon: where promises and what canaries show stand on one axis."""

from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from federated.report import Report, RunResult
from federated.report.figures.arms.charts import charts, epsilon_still
from federated.report.figures.stills import png_of

ACCURACY, OF = "generalisation/test_accuracy", "privacy/empirical_epsilon_"
CLIENT, EXAMPLE = "one client added or removed", "one example of one client added or removed"


def arm(
    name: str,
    promised: float | None = None,
    shown: tuple[float, float] | None = None,
    unit: str = CLIENT,
    partitioner: str = "iid",
) -> list[RunResult]:
    """Three seeds of 0.7, 0.8 and 0.9. shown: lower bounds of the final model and of all iterates."""
    metrics = {} if promised is None else {"privacy/epsilon": promised}
    metrics |= {} if shown is None else {f"{OF}final_lower": shown[0], f"{OF}iterates_lower": shown[1]}
    parameters = {"partitioner": partitioner} | ({} if promised is None else {"privacy.unit": unit})
    return [
        RunResult("s", name, seed, "FINISHED", parameters, ((4, {ACCURACY: score, **metrics}),), ACCURACY)
        for seed, score in enumerate((0.7, 0.8, 0.9))
    ]


def chart(*arms: list[RunResult]) -> dict[str, Any]:
    return charts(Report("s", [run for runs in arms for run in runs]))["by-epsilon-1"]


def rows(*arms: list[RunResult]) -> dict[str, dict[str, Any]]:
    return {row["arm"]: row for row in chart(*arms)["data"]["values"]}


def test_a_mark_stands_at_the_promise_and_one_at_what_canaries_show() -> None:
    found = rows(arm("open", shown=(40.0, 20.0)), arm("private", 3.0, (0.1, 0.5)), arm("alone", 1.0))
    assert (found["private"]["epsilon"], found["private"]["shown"]) == (3.0, 0.5)
    assert (found["alone"]["epsilon"], found["alone"]["shown"]) == (1.0, None)
    half = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert found["private"]["score"] == pytest.approx(0.8)
    assert found["private"]["low"] == pytest.approx(0.8 - half)
    assert found["private"]["high"] == pytest.approx(min(0.8 + half, 1))
    assert found["open"]["promised at most"] == "nothing"
    assert (found["open"]["shown"], found["alone"]["canaries show at least"]) == (40.0, "not measured")


def test_the_axis_ends_in_infinity_where_arms_without_a_promise_stand_and_begins_below_all_promises() -> None:
    arms = arm("open", shown=(40.0, 20.0)), arm("private", 3.0, (0.0, 0.0)), arm("plain")
    spec, found = chart(*arms), rows(*arms)
    low, high = spec["encoding"]["x"]["scale"]["domain"]
    assert low == pytest.approx(0.01)
    assert high > 40
    assert found["open"]["epsilon"] == found["plain"]["epsilon"] == high
    assert found["private"]["shown"] == low
    assert spec["encoding"]["x"]["axis"]["values"][-1] == high


def test_an_epsilon_of_nothing_stands_at_the_left_end() -> None:
    found, spec = rows(arm("hidden", 0.0)), chart(arm("hidden", 0.0))
    assert found["hidden"]["epsilon"] == spec["encoding"]["x"]["scale"]["domain"][0] == pytest.approx(1e-4)
    assert found["hidden"]["promised at most"] == "< 0.01"


def test_each_unit_has_a_chart_of_its_own_that_names_it() -> None:
    of_examples, plain = arm("of examples", 0.5, unit=EXAMPLE), arm("plain", shown=(40.0, 20.0))
    arms = of_examples, arm("a", 3.0), arm("b", 1.0), plain
    assert list(rows(*arms)) == ["a", "b", "plain"]
    report = Report("s", [run for runs in arms for run in runs])
    found = charts(report)
    assert [row["arm"] for row in found["by-epsilon-2"]["data"]["values"]] == ["of examples", "plain"]
    marks = [
        {row["arm"]: row["shown"] for row in found[f"by-epsilon-{at}"]["data"]["values"]} for at in (1, 2)
    ]
    assert [each["plain"] for each in marks] == [40.0, None]  # canaries are clients
    titles = [found[f"by-epsilon-{at}"]["encoding"]["x"]["title"] for at in (1, 2)]
    assert [title[1:] for title in titles] == [[f"of {CLIENT}"], [f"of {EXAMPLE}"]]
    assert chart(*arms[1:])["encoding"]["x"]["title"][1:] == []
    still = epsilon_still(report)
    assert still is not None
    assert [len(row["hconcat"]) for row in still["vconcat"]] == [2]


def test_only_arms_of_the_same_clients_are_joined() -> None:
    found = rows(arm("a", 3.0), arm("b", 1.0), arm("c", 1.0, partitioner="dirichlet(0.1)"))
    assert found["a"]["problem"] == found["b"]["problem"] != found["c"]["problem"]


def test_without_a_promise_there_is_no_chart() -> None:
    report = Report("s", arm("open", shown=(40.0, 20.0)) + arm("plain"))
    assert not [name for name in charts(report) if name.startswith("by-epsilon")]
    assert epsilon_still(report) is None


def test_the_still_picture_can_be_drawn() -> None:
    still = epsilon_still(Report("s", arm("open", shown=(40.0, 20.0)) + arm("private", 3.0, (0.1, 0.5))))
    assert still is not None
    assert png_of(still).startswith(b"\x89PNG")
