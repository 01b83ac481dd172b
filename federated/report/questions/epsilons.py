"""The epsilon of each arm: what is promised at most, and what canaries show that it is at least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.results import EPSILON, RunResult, arms_of, largest_promise
from federated.report.statistics.paired import Interval
from federated.report.text.numbers_as_text import number, with_interval
from federated.report.text.phrases import counted, first_few
from federated.report.text.table import Table

_OF = "privacy/empirical_epsilon_"
FINAL, ITERATES, INFORMED = (f"{_OF}{models}_lower" for models in ("final", "iterates", "informed"))
_TO = {
    FINAL: "to one who sees the final model",
    ITERATES: "to one who sees every round",
    INFORMED: "to one who sees every round and knows what all others sent",
}
"""Lower bound -> to whom canaries show it."""
_ESTIMATES = {
    f"{_OF}final_known": "estimate, final model",
    f"{_OF}final_fitted": "fitted",
    f"{_OF}iterates_known": "estimate, every round",
    f"{_OF}iterates_fitted": "fitted, every round",
    f"{_OF}informed_known": "estimate, others known",
    f"{_OF}informed_fitted": "fitted, others known",
}
_MOST_NAMED = 4
LEAST_SHOWN = 0.01


class Level(NamedTuple):
    """A quantity over the finished seeds of an arm: its mean, None without any, and the interval of the mean."""

    mean: float | None
    interval: Interval | None

    @property
    def text(self) -> str:
        """Mean and interval, by three digits of the mean."""
        return with_interval(self.mean, self.interval, 2 if self.mean is None or self.mean < 100 else 0)


class Epsilons(NamedTuple):
    """An arm's epsilon from both sides.

    upper: by the accountant, the largest of the seeds, as the weakest of several promises is what all keep; None:
    nothing is promised. lower, lower_final: with 95 % confidence in each run,
    by canaries in every round's step, and in the final model; without a mean the arm has no canaries. seeds: that
    finished. broken: those in which a lower bound is above the promise. lower_informed: to one who knows what all
    others sent besides; without a mean in runs of an older version.
    """

    arm: str
    upper: float | None
    lower: Level
    lower_final: Level
    seeds: int
    broken: int
    lower_informed: Level = Level(None, None)

    @property
    def without_canaries(self) -> Epsilons:
        """The same where what canaries show is of another unit."""
        nothing = Level(None, None)
        return self._replace(lower=nothing, lower_final=nothing, lower_informed=nothing)

    @property
    def largest(self) -> tuple[str, Level]:
        """The largest of the lower bounds: its metric, and the level; a level without a mean without canaries."""
        levels = {INFORMED: self.lower_informed, ITERATES: self.lower, FINAL: self.lower_final}
        return max(levels.items(), key=lambda of: -1.0 if of[1].mean is None else of[1].mean)

    @property
    def largest_lower(self) -> float | None:
        """The mean of the largest of the lower bounds; None without canaries."""
        return self.largest[1].mean


def epsilons(results: Sequence[RunResult]) -> list[Epsilons]:
    """Of every arm with a promise or canaries, in the order of the results."""
    found = [
        _epsilons(arm, [run for run in results if run.arm == arm and run.finished])
        for arm in arms_of(results)
    ]
    return [each for each in found if each.upper is not None or each.lower.mean is not None]


def measured_epsilons(results: Sequence[RunResult]) -> Table | None:
    """A row for each arm with canaries; None where there is none."""
    shown = [each for each in epsilons(results) if each.lower.mean is not None]
    if not shown:
        return None
    rows = [
        [
            each.arm,
            promise_text(each.upper),
            each.lower_final.text,
            each.lower.text,
            each.lower_informed.text,
            *(_level([run for run in results if run.arm == each.arm], metric).text for metric in _ESTIMATES),
        ]
        for each in shown
    ]
    columns = [
        "arm",
        "promised at most",
        "at least, final model",
        "at least, every round",
        "at least, others known",
        *_ESTIMATES.values(),
    ]
    return Table(columns, rows, _NOTE)


def promise_text(epsilon: float | None) -> str:
    """By two decimals; what they do not show is not said to be 0."""
    if epsilon is not None and epsilon < LEAST_SHOWN:
        return f"< {LEAST_SHOWN}"
    return number(epsilon, 2 if epsilon is None or epsilon < 100 else 0)


def epsilon_sentences(results: Sequence[RunResult]) -> list[str]:
    """What canaries show in plain words: broken promises first, then arms that promise nothing, then the others."""
    shown = [each for each in epsilons(results) if each.lower.mean is not None]
    broken = [_broken(each) for each in shown if each.broken]
    open_arms = [_open(each) for each in shown if each.upper is None]
    kept = [_kept(each) for each in shown if each.upper is not None and not each.broken]
    return [f"{first_few(said, _MOST_NAMED)}." for said in (broken, open_arms, kept) if said]


def _epsilons(arm: str, runs: Sequence[RunResult]) -> Epsilons:
    upper = largest_promise(runs)
    lower, final, informed = (_level(runs, metric) for metric in (ITERATES, FINAL, INFORMED))
    return Epsilons(arm, upper, lower, final, len(runs), sum(_is_broken(run) for run in runs), informed)


def _level(runs: Sequence[RunResult], metric: str) -> Level:
    return Level(*interval_over_seeds(runs, metric)) if runs else Level(None, None)


def _is_broken(run: RunResult) -> bool:
    promised = run.final(EPSILON)
    shown = [value for metric in _TO if (value := run.final(metric)) is not None]
    return promised is not None and max(shown, default=0.0) > promised


def _broken(each: Epsilons) -> str:
    return (
        f"{each.arm}: the promise of epsilon {promise_text(each.upper)} is broken in {each.broken} of "
        f"{counted(each.seeds, 'seed')}, where canaries show more (by chance, each bound of a threat model is too "
        "high in one seed of twenty, with others known in one of a hundred)"
    )


def _open(each: Epsilons) -> str:
    return f"{each.arm} promises nothing, and canaries show that epsilon is at least {_largest(each)}"


def _kept(each: Epsilons) -> str:
    return (
        f"{each.arm} promises an epsilon of at most {promise_text(each.upper)}; canaries show at least "
        f"{_largest(each)}"
    )


def _largest(each: Epsilons) -> str:
    """`1.91 [1.56, 2.26], the mean of 5 seeds, to one who sees every round`."""
    metric, level = each.largest
    mean = f"{level.text}, the mean of {counted(each.seeds, 'seed')}" if each.seeds > 1 else level.text
    return f"{mean}, {_TO[metric]}"


_NOTE = (
    "Means over seeds, with 95 % intervals of the mean; of promises the largest. Epsilon says how well one could tell "
    "from the models whether a certain client took part: 0 not at all, 1 hardly, above 10 nearly for sure. Promised at "
    "most: by the accountant. At least: what canaries, clients that sent random directions of the bound's length, show "
    "in each run with 95 % confidence (others known: 99 %), to one who sees the final model, the model after every "
    "round, or what every round releases and who knows what all others sent, as the promise takes for granted. A bound "
    "near 0 is no proof of privacy, as a better attack may show more. Estimates are no bounds, and fitted ones are too "
    "high where epsilon is small."
)
