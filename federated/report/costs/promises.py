"""Promises of arms beside their scores: that the best one makes none, and the best ones within an epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from federated.metrics.names import metric_label
from federated.report.costs.front import problems_of, units_of
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import RunResult, arms_of, candidates, largest_promise
from federated.report.questions.epsilons import promise_text
from federated.report.text.numbers_as_text import decimals_of, number

LIMITS = (10.0, 1.0)
"""Epsilons up to which the best arm is named: above 10 a promise says next to nothing, below 1 little is learnt."""


class Promise(NamedTuple):
    """What an arm promises of the model that it is scored by. epsilon: None where nothing. unit: of whom."""

    epsilon: float | None
    unit: str = ""


def promise_of(runs: Sequence[RunResult]) -> Promise:
    """Of one arm: the largest epsilon of its finished seeds, if it covers the models that the arm is scored by."""
    finished = [run for run in runs if run.finished]
    epsilon = largest_promise(finished)
    if epsilon is None or any(run.own_models_not_covered for run in finished):
        return Promise(None)
    return Promise(epsilon, units_of(finished).get(finished[0].arm, ""))


def within_epsilon(results: Sequence[RunResult], limit: float) -> list[RunResult]:
    """The runs of the arms that promise an epsilon of at most this, of whatever unit."""
    kept = {
        arm
        for arm in arms_of(results)
        if (epsilon := promise_of(_of(results, arm)).epsilon) is not None and epsilon <= limit
    }
    return [run for run in results if run.arm in kept]


def weaker(mine: Promise, theirs: Promise) -> str:
    """How a promise is weaker than another, in words; empty where it is not."""
    if theirs.epsilon is None:
        return ""
    held = f"epsilon {promise_text(theirs.epsilon)}"
    if mine.epsilon is None:
        return f"promises no privacy, where that promises {held}"
    if mine.unit != theirs.unit:
        return f"promises something else ({mine.unit}), where that promises {held} ({theirs.unit})"
    return (
        f"promises only epsilon {promise_text(mine.epsilon)}, where that promises {held}"
        if mine.epsilon > theirs.epsilon
        else ""
    )


def promise_sentences(results: Sequence[RunResult], *, robust: bool = False) -> list[str]:
    """That the best arm promises nothing, or less than others, and the best arms that do; [] where no arm promises.

    Compared are arms of the same data and clients. Epsilons of different units are no steps of one scale, so each unit
    has its own.
    """
    best = best_arm(results, robust=robust)
    if best is None:
        return []
    arm, _, metric = best
    problems, rivals = problems_of(results), candidates(results)
    alike = [run for run in rivals if problems[run.arm] == problems[arm] and run.main_metric == metric]
    promised = {each: promise_of(_of(alike, each)) for each in arms_of(alike)}
    units = list(dict.fromkeys(each.unit for each in promised.values() if each.epsilon is not None))
    named = [
        said for unit in units if (said := _named(alike, promised, unit, arm, robust, several=len(units) > 1))
    ]
    if not named:
        return []
    return [f"The best arm, {arm}, {_promised(_of(alike, arm), promised[arm])}. {' '.join(named)}"]


def _promised(runs: Sequence[RunResult], promise: Promise) -> str:
    if promise.epsilon is not None:
        return f"promises epsilon {promise_text(promise.epsilon)}"
    if any(run.own_models_not_covered for run in runs):
        return "is scored by clients' own models, which its epsilon does not cover"
    return "trains without privacy: nothing bounds what its model tells of a client"


def _named(
    runs: Sequence[RunResult],
    promised: dict[str, Promise],
    unit: str,
    best: str,
    robust: bool,
    *,
    several: bool,
) -> str:
    """The best arm of one unit within each limit, without the best of all and without saying one twice."""
    of_unit = [
        run for run in runs if promised[run.arm].unit == unit and promised[run.arm].epsilon is not None
    ]
    found: dict[str, str] = {}
    for limit in LIMITS:
        if (within := best_arm(within_epsilon(of_unit, limit), robust=robust)) is not None:
            found.setdefault(within[0], f"epsilon at most {limit:g}: {_with_score(*within, promised)}")
    if not found and (any_promise := best_arm(of_unit, robust=robust)) is not None:
        found[any_promise[0]] = f"any promise at all: {_with_score(*any_promise, promised)}"
    found.pop(best, None)
    if not found:
        return ""
    of = f" ({unit})" if several and unit else ""
    return f"The best arms with a promise{of}: {'; '.join(found.values())}."


def _with_score(arm: str, score: float, metric: str, promised: dict[str, Promise]) -> str:
    return (
        f"{arm}, {metric_label(metric)} {number(score, decimals_of(metric, score))} "
        f"(epsilon {promise_text(promised[arm].epsilon)})"
    )


def _of(results: Sequence[RunResult], arm: str) -> list[RunResult]:
    return [run for run in results if run.arm == arm]
