"""What reports say of epsilon: promised by the accountant, shown by canaries."""

from __future__ import annotations

import pytest
from scipy import stats

from federated.report.findings.arms import compare
from federated.report.findings.ranking import ranked
from federated.report.findings.results import RunResult
from federated.report.questions.epsilons import epsilon_sentences, epsilons, measured_epsilons, promise_text
from federated.report.text.model_card import model_card


def run(arm: str, seed: int, promised: float | None, final: float, iterates: float) -> RunResult:
    of = "privacy/empirical_epsilon_"
    shown = {f"{of}final_lower": final, f"{of}iterates_lower": iterates, f"{of}final_known": 1.5}
    metrics = {**shown, **({} if promised is None else {"privacy/epsilon": promised})}
    return RunResult("s", arm, seed, "FINISHED", {}, ((4, metrics),), "generalisation/test_accuracy")


RESULTS = [
    *(run("private", seed, 3.0, 0.2, lower) for seed, lower in enumerate((0.5, 1.0, 1.5))),
    *(run("open", seed, None, 40.0, 20.0) for seed in range(3)),
    *(run("broken", seed, 2.0, lower, 0.1) for seed, lower in enumerate((1.0, 2.5, 4.0))),
]


def test_each_arm_has_both_sides_with_intervals_over_seeds() -> None:
    private, open_arm, broken = epsilons(RESULTS)
    assert (private.upper, private.lower.mean, private.lower_final.mean) == (
        3.0,
        1.0,
        pytest.approx(0.2),
    )
    half = stats.t.ppf(0.975, 2) * 0.5 / 3**0.5
    assert private.lower.interval == pytest.approx((max(1 - half, 0), 1 + half))
    assert (open_arm.upper, open_arm.lower_final.mean) == (None, 40.0)
    assert [each.broken for each in (private, open_arm, broken)] == [0, 0, 2]


def test_sentences_begin_with_broken_promises() -> None:
    first, second, third = epsilon_sentences(RESULTS)
    assert first.startswith("broken: the promise of epsilon 2.00 is broken in 2 of 3 seeds")
    assert second == "open promises nothing, and canaries show that epsilon is at least 40.00."
    assert third == "private promises an epsilon of at most 3.00; canaries show at least 1.00."


def test_of_seeds_that_promise_different_epsilons_the_largest_is_promised() -> None:
    """Whoever reads "at most" holds it against every seed: 6.5 is kept by all of them, their mean 6 by one in three."""
    several = [run("a", seed, promised, 0.1, 0.2) for seed, promised in enumerate((5.5, 6.5, 6.0))]
    assert epsilons(several)[0].upper == 6.5
    assert epsilon_sentences(several) == [
        "a promises an epsilon of at most 6.50; canaries show at least 0.20."
    ]
    assert compare(several)[0].secondary["privacy/epsilon"].mean == 6.5
    (row,) = ranked(several, [])
    assert row.cells["epsilon"] == "6.50"


def test_a_promise_that_two_decimals_do_not_show_is_not_said_to_be_nothing() -> None:
    assert [promise_text(each) for each in (0.0, 0.004, 0.01, 3.0, None)] == [
        "< 0.01",
        "< 0.01",
        "0.01",
        "3.00",
        "–",
    ]


def test_by_chance_each_of_two_bounds_may_be_too_high() -> None:
    assert (
        "(by chance, each of the two bounds is too high in one seed of twenty)"
        in epsilon_sentences(RESULTS)[0]
    )


def test_the_model_card_says_what_canaries_show() -> None:
    private = [each for each in RESULTS if each.arm == "private"]
    card = model_card("s", "", private, private[0])
    assert "- private promises an epsilon of at most 3.00; canaries show at least 1.00." in card


def test_the_table_has_a_row_for_each_arm_with_canaries() -> None:
    without = RunResult(
        "s", "none", 0, "FINISHED", {}, ((4, {"privacy/epsilon": 1.0}),), "generalisation/test_accuracy"
    )
    table = measured_epsilons([*RESULTS, without])
    assert table is not None
    assert [row[0] for row in table.rows] == ["private", "open", "broken"]
    assert [row[1] for row in table.rows] == ["3.00", "–", "2.00"]
    assert measured_epsilons([without]) is None
    assert len(epsilons([without])) == 1
