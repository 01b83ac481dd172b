"""Promises of arms beside their scores: that the best one makes none, and the best ones within an epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from federated.metrics.names import metric_label
from federated.report.costs.front import OF_EXAMPLES, problems_of, units_of
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import DELTA, EPSILON, RunResult, arms_of, candidates, largest_promise
from federated.report.questions.epsilons import promise_text
from federated.report.text.numbers_as_text import decimals_of, number

LIMITS = (10.0, 1.0)
"""Epsilons up to which the best arm is named: above 10 a promise says next to nothing, below 1 little is learnt."""

SOLVED_TO = 0.002
"""Epsilons that differ by this share are the same: the noise for a wanted epsilon is found to 0.1 % below it, so two
runs that ask for the same one may differ by so much, and a little for what their accountants round."""


class Promise(NamedTuple):
    """What an arm promises of the model that it is scored by.

    epsilon: None where nothing. delta: None where it is not known, as in runs that did not log it. unit: of whom.
    """

    epsilon: float | None
    delta: float | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """`epsilon 3.00 at delta 1e-05`; without the delta where that is not known."""
        return f"epsilon {promise_text(self.epsilon)}{self.at_delta}"

    @property
    def at_delta(self) -> str:
        """` at delta 1e-05`; empty where it is not known."""
        return "" if self.delta is None else f" at delta {self.delta:g}"


def promise_of(runs: Sequence[RunResult]) -> Promise:
    """Of one arm: the largest epsilon and delta of its finished seeds, which all of them keep.

    Nothing where it does not cover the models that the arm is scored by.
    """
    finished = [run for run in runs if run.finished]
    epsilon = largest_promise(finished)
    if epsilon is None or any(run.own_models_not_covered for run in finished):
        return Promise(None)
    deltas = [run.final(DELTA) for run in finished if run.final(EPSILON) is not None]
    known = [delta for delta in deltas if delta is not None]
    delta = max(known) if len(known) == len(deltas) else None
    return Promise(epsilon, delta, units_of(finished).get(finished[0].arm, ""))


def within_epsilon(results: Sequence[RunResult], limit: float) -> list[RunResult]:
    """The runs of the arms that promise an epsilon of at most this to clients; where none does, to single examples.

    Epsilons of the two are no steps of one scale: within the same limit an example's says nothing of a client.
    """
    promised = {arm: promise_of(_of(results, arm)) for arm in arms_of(results)}
    kept = {arm: each for arm, each in promised.items() if each.epsilon is not None and each.epsilon <= limit}
    of_clients = {arm for arm, each in kept.items() if _is_of_clients(each.unit)}
    return [run for run in results if run.arm in (of_clients or kept)]


def weaker(mine: Promise, theirs: Promise) -> str:
    """How a promise is weaker than another, in words; empty where it is not.

    Weaker is a larger epsilon, by more than SOLVED_TO, or a larger delta; where one delta is not known, epsilon alone.
    """
    if theirs.epsilon is None:
        return ""
    if mine.epsilon is None:
        return f"promises no privacy, where that promises {theirs.text}"
    if mine.unit != theirs.unit:
        return f"promises something else ({mine.unit}), where that promises {theirs.text} ({theirs.unit})"
    alone = f"; {said}" if (said := epsilon_alone(mine, theirs)) else ""
    if mine.epsilon > theirs.epsilon * (1 + SOLVED_TO):
        larger, held = _told_apart(mine.epsilon, theirs.epsilon)
        held = f"epsilon {held}{theirs.at_delta}{alone}"
        return f"promises only epsilon {larger}{mine.at_delta}, where that promises {held}"
    if mine.delta is None or theirs.delta is None or float(f"{mine.delta:g}") <= float(f"{theirs.delta:g}"):
        return ""
    return f"promises epsilon {promise_text(mine.epsilon)} only{mine.at_delta}, where that promises {theirs.text}"


def epsilon_alone(mine: Promise, theirs: Promise) -> str:
    """That two promises are compared without their deltas, in words; empty where both are known."""
    if mine.epsilon is None or theirs.epsilon is None or None not in (mine.delta, theirs.delta):
        return ""
    return "promises are compared by epsilon alone, as a delta was not logged"


def about_registered(results: Sequence[RunResult], arm: str, limit: float | None) -> str:
    """What a reader of a study on privacy has to know of the model that is registered; limit: comparison.epsilon."""
    promised = promise_of(_of(results, arm))
    if promised.epsilon is None:
        said = "trains without privacy; comparison.epsilon registers the best arm that promises so much"
        return f"Its arm, {arm}, {said}" if promise_sentences(results) else ""
    if limit is None:
        return ""
    unknown = "" if promised.delta is not None else " at a delta that was not logged"
    less = (
        "" if _is_of_clients(promised.unit) else "; no arm is known to promise so much to a client as a whole"
    )
    return (
        f"Its arm, {arm}, promises {promised.text}{unknown} ({promised.unit or 'of what is not known'}){less}"
    )


def _is_of_clients(unit: str) -> bool:
    return bool(unit) and not unit.startswith(OF_EXAMPLES)


def _told_apart(mine: float, theirs: float) -> tuple[str, str]:
    """Two epsilons as they are always shown; by four digits, which show SOLVED_TO, where that would be the same."""
    mine_shown, theirs_shown = promise_text(mine), promise_text(theirs)
    return (mine_shown, theirs_shown) if mine_shown != theirs_shown else (f"{mine:.4g}", f"{theirs:.4g}")


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
        return f"promises {promise.text}"
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
    return f"{arm}, {metric_label(metric)} {number(score, decimals_of(metric, score))} ({promised[arm].text})"


def _of(results: Sequence[RunResult], arm: str) -> list[RunResult]:
    return [run for run in results if run.arm == arm]
