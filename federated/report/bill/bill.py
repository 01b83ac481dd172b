"""The bill of an arm: that of one training, the mean over its finished seeds; and of all runs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from federated.report.bill.lacking import has_price, lacking, names
from federated.report.bill.lines import (
    CO2,
    CORES,
    ENERGY,
    PRIVACY,
    SECONDS_AN_HOUR,
    Item,
    items_of,
    metrics_of,
)
from federated.report.findings.results import RunResult, arms_of, compared
from federated.study.further.prices import Prices


class Bill(NamedTuple):
    """of: whose it is. items: in their order, each line once. runs: that it is the mean, or the sum, of.

    lacks: lines whose quantity is not known, of a sum also those of which it is known of some runs only; they have no
    figure. without_money: whether one of these has a price, so that the money is not known either. is_tuning: whether
    it is of trainings by which values were chosen.
    """

    of: str
    items: tuple[Item, ...]
    runs: int
    anchor: str = ""
    lacks: tuple[str, ...] = ()
    without_money: bool = False
    is_tuning: bool = False

    def quantity(self, *lines: str) -> float | None:
        """The sum of these lines; None where it has none of them, or lacks one."""
        found = [item.quantity for item in self.items if item.what in lines]
        return sum(found) if found and not set(lines) & set(self.lacks) else None

    @property
    def kwh(self) -> float | None:
        """Energy, of all that takes any."""
        found = [item.quantity for item in self.items if item.what.startswith(ENERGY)]
        return sum(found) if found and ENERGY not in self.lacks else None

    @property
    def co2(self) -> float | None:
        """In kg."""
        return self.quantity(CO2)

    @property
    def money(self) -> float | None:
        """All that has a price; None where nothing has, or what has one is not known."""
        found = [item.amount for item in self.items if item.amount is not None]
        return sum(found) if found and not self.without_money else None


def bills(results: Sequence[RunResult], prices: Prices | None = None) -> list[Bill]:
    """One bill an arm with a finished run, in first-seen order: of one training, the mean over its seeds.

    Of an epsilon the largest, which all seeds keep. Arms that leave a site out in turn have none.
    """
    judged = [run for run in compared(results) if run.finished]
    by_run = [_items(run, prices) for run in judged]
    lacks = lacking(by_run, [run.anchor for run in judged])
    found = []
    for arm in arms_of(judged):
        of_arm = [at for at, run in enumerate(judged) if run.arm == arm]
        lines = names(set.intersection(*(lacks[at] for at in of_arm)))
        items = tuple(mean_of([by_run[at] for at in of_arm]))
        anchor = judged[of_arm[0]].anchor
        found.append(Bill(arm, items, len(of_arm), anchor, lines, has_price(lines, prices)))
    return found


def bill_of_all(results: Sequence[RunResult], prices: Prices | None = None) -> Bill | None:
    """The bill of all finished runs together; None where there is none. Rounds and epsilons are not added up."""
    runs = [run for run in results if run.finished]
    if not runs:
        return None
    by_run = [_items(run, prices) for run in runs]
    lines = names(set.union(*lacking(by_run, [run.anchor for run in runs])))
    return Bill("all runs", tuple(_sum(by_run)), len(runs), "", lines, has_price(lines, prices))


def study_metrics(results: Sequence[RunResult], prices: Prices | None) -> dict[str, float]:
    """The bill of a whole study, for MLflow: what is known of it."""
    whole = bill_of_all(results, prices)
    if whole is None:
        return {}
    cores = whole.quantity(CORES)
    found = {
        "bill/study_core_seconds": None if cores is None else cores * SECONDS_AN_HOUR,
        "bill/study_kwh": whole.kwh,
        "bill/study_co2_kg": whole.co2,
        "bill/study_cost": whole.money,
    }
    return {name: value for name, value in found.items() if value is not None}


def _items(run: RunResult, prices: Prices | None) -> list[Item]:
    return items_of(metrics_of(run), prices)


def _grouped(runs: Iterable[Sequence[Item]]) -> list[list[Item]]:
    """The items of each line, in the order in which lines are first seen; energy by how it is known too."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for items in runs:
        for item in items:
            groups.setdefault((item.what, item.metric), []).append(item)
    return list(groups.values())


def mean_of(runs: Sequence[Sequence[Item]]) -> list[Item]:
    """Over the runs that know of it, so that lines add up: energy measured in half of them is half of it."""
    known = Counter(kind for items in runs for kind in {item.kind for item in items})
    return [
        _largest(same) if same[0].what == PRIVACY else _mean(same, known[same[0].kind])
        for same in _grouped(runs)
    ]


def _mean(items: Sequence[Item], runs: int) -> Item:
    found = _added(items).times(1 / runs)
    some = "" if len(items) == runs else f", in {len(items)} of {runs} runs"
    return found._replace(origin=f"{found.origin}{some}", known_of=runs)


def _sum(runs: Sequence[Sequence[Item]]) -> list[Item]:
    return [_added(same) for same in _grouped(runs) if same[0].what not in (PRIVACY, "rounds")]


def _largest(items: Sequence[Item]) -> Item:
    return max(items, key=lambda item: item.quantity)._replace(known_of=len(items))


def _added(items: Sequence[Item]) -> Item:
    amounts = [item.amount for item in items if item.amount is not None]
    quantity = sum(item.quantity for item in items)
    return items[0]._replace(quantity=quantity, amount=sum(amounts) if amounts else None, known_of=len(items))
