"""What reports say of epsilon: promised by the accountant, shown by canaries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from federated.report.costs.promises import promise_sentences
from federated.report.findings.arms import compare, text_table
from federated.report.findings.ranking import ranked
from federated.report.findings.results import RunResult
from federated.report.findings.verdicts import compare_paired
from federated.report.questions.epsilons import epsilon_sentences, epsilons, measured_epsilons, promise_text
from federated.report.text.model_card import model_card
from federated.report.text.sentences import sentences


def run(arm: str, seed: int, promised: float | None, final: float, iterates: float) -> RunResult:
    of = "privacy/empirical_epsilon_"
    shown = {f"{of}final_lower": final, f"{of}iterates_lower": iterates, f"{of}final_known": 1.5}
    metrics = {**shown, **({} if promised is None else {"privacy/epsilon": promised})}
    return RunResult("s", arm, seed, "FINISHED", {}, ((4, metrics),), "generalisation/test_accuracy")


def with_metric(run: RunResult, name: str, value: float) -> RunResult:
    ((at, metrics),) = run.history
    return replace(run, history=((at, {**metrics, name: value}),))


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
    assert second == (
        "open promises nothing, and canaries show that epsilon is at least 40.00, the mean of 3 seeds, "
        "to one who sees the final model."
    )
    # t interval of 0.5, 1.0, 1.5: 1.00 +- 4.303 * 0.5 / sqrt(3), and no epsilon is below 0
    assert third == (
        "private promises an epsilon of at most 3.00; canaries show at least 1.00 [0.00, 2.24], the mean of 3 seeds, "
        "to one who sees every round."
    )
    informed = [with_metric(each, "privacy/empirical_epsilon_informed_lower", 2.5) for each in RESULTS]
    assert epsilon_sentences(informed)[-1].endswith(
        "to one who sees every round and knows what all others sent."
    )
    assert epsilons(informed)[0].largest_lower == 2.5
    assert epsilons(informed)[2].broken == 3  # of 2.00


def test_of_seeds_that_promise_different_epsilons_the_largest_is_promised() -> None:
    """Whoever reads "at most" holds it against every seed: 6.5 is kept by all of them, their mean 6 by one in three."""
    several = [run("a", seed, promised, 0.1, 0.2) for seed, promised in enumerate((5.5, 6.5, 6.0))]
    assert epsilons(several)[0].upper == 6.5
    assert epsilon_sentences(several) == [
        "a promises an epsilon of at most 6.50; canaries show at least 0.20, the mean of 3 seeds, to one "
        "who sees every round."
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
        "(by chance, each bound of a threat model is too high in one seed of twenty, with others known in one of a "
        "hundred)" in epsilon_sentences(RESULTS)[0]
    )


def test_the_model_card_says_what_canaries_show() -> None:
    private = [each for each in RESULTS if each.arm == "private"]
    card = model_card("s", "", private, private[0])
    assert "- private promises an epsilon of at most 3.00; canaries show at least 1.00 [0.00, 2.24]" in card


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


ACCURACY = "generalisation/test_accuracy"
EACH, EXAMPLE = (
    "one client's updates there or not, with the number public",
    "one example of one client replaced",
)


def scored(
    arm: str, accuracy: float, promised: float | None, unit: str = EACH, **parameters: str
) -> list[RunResult]:
    metrics = {ACCURACY: accuracy, "communication/uplink_bytes_total": 1e6}
    metrics |= {} if promised is None else {"privacy/epsilon": promised}
    parameters = {**parameters, **({} if promised is None else {"privacy.unit": unit})}
    return [RunResult("s", arm, seed, "FINISHED", parameters, ((4, metrics),), ACCURACY) for seed in (0, 1)]


def test_a_best_arm_without_privacy_is_said_to_be_one_and_what_a_promise_costs_instead() -> None:
    arms = (
        scored("open", 0.9, None)
        + scored("loose", 0.89, 12.0)
        + scored("private", 0.85, 3.0)
        + scored("strict", 0.8, 0.5)
        + scored("easier", 0.95, 0.9, partitioner="iid")  # other clients: no choice between them
    )
    alike = [run for run in arms if run.arm != "easier"]
    (said,) = promise_sentences(alike)
    assert said == (
        "The best arm, open, trains without privacy: nothing bounds what its model tells of a client. The best arms "
        "with a promise: epsilon at most 10: private, test accuracy 0.850 (epsilon 3.00); epsilon at most 1: strict, "
        "test accuracy 0.800 (epsilon 0.50)."
    )
    assert promise_sentences(arms) == []  # `easier` promises 0.9, and the others are of other clients
    assert said in sentences(alike, compare_paired(alike))
    weak = promise_sentences([run for run in alike if run.arm in ("open", "loose")])
    assert weak[0].endswith("any promise at all: loose, test accuracy 0.890 (epsilon 12.00).")
    assert promise_sentences(scored("a", 0.9, None) + scored("b", 0.8, None)) == []


def test_promises_of_different_units_are_not_compared() -> None:
    arms = scored("open", 0.9, None) + scored("a", 0.8, 3.0) + scored("b", 0.85, 2.0, unit=EXAMPLE)
    (said,) = promise_sentences(arms)
    assert f"({EACH}): epsilon at most 10: a, " in said
    assert f"({EXAMPLE}): epsilon at most 10: b, " in said


def test_the_short_table_of_the_terminal_has_the_promises() -> None:
    found = text_table(compare(scored("open", 0.9, None) + scored("a", 0.8, 3.004)), full=False)
    at = found.columns.index("epsilon")
    assert [row[at] for row in found.rows] == ["–", "3.00"]
    own = [
        replace(run, parameters={**run.parameters, "privacy.own_models": "x"})
        for run in scored("a", 0.8, 3.0)
    ]
    (row,) = text_table(compare(own), full=False).rows
    assert row[at] == "not covered by epsilon"
