"""The bill of an arm: that of one training, the mean over its finished seeds; and of all runs together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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
    """of: whose it is. items: in their order, each line once. runs: that it is the mean, or the sum, of."""

    of: str
    items: tuple[Item, ...]
    runs: int
    anchor: str = ""

    def quantity(self, *lines: str) -> float | None:
        """The sum of these lines; None where it has none of them."""
        found = [item.quantity for item in self.items if item.what in lines]
        return sum(found) if found else None

    @property
    def kwh(self) -> float | None:
        """Energy, of all that takes any."""
        found = [item.quantity for item in self.items if item.what.startswith(ENERGY)]
        return sum(found) if found else None

    @property
    def co2(self) -> float | None:
        """In kg."""
        return self.quantity(CO2)

    @property
    def money(self) -> float | None:
        """All that has a price; None where nothing has."""
        found = [item.amount for item in self.items if item.amount is not None]
        return sum(found) if found else None


def bills(results: Sequence[RunResult], prices: Prices | None = None) -> list[Bill]:
    """One bill an arm with a finished run, in first-seen order: of one training, the mean over its seeds.

    Of an epsilon the largest, which all seeds keep. Arms that leave a site out in turn have none.
    """
    found = []
    for arm in arms_of(compared(results)):
        runs = [run for run in results if run.arm == arm and run.finished]
        if runs:
            found.append(
                Bill(arm, tuple(mean_of([_items(run, prices) for run in runs])), len(runs), runs[0].anchor)
            )
    return found


def bill_of_all(results: Sequence[RunResult], prices: Prices | None = None) -> Bill | None:
    """The bill of all finished runs together; None where there is none. Rounds and epsilons are not added up."""
    runs = [run for run in results if run.finished]
    if not runs:
        return None
    return Bill("all runs", tuple(_sum([_items(run, prices) for run in runs])), len(runs))


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
    """Over the runs that have the line."""
    return [
        _added(same).times(1 / len(same)) if same[0].what != PRIVACY else _largest(same)
        for same in _grouped(runs)
    ]


def _sum(runs: Sequence[Sequence[Item]]) -> list[Item]:
    return [_added(same) for same in _grouped(runs) if same[0].what not in (PRIVACY, "rounds")]


def _largest(items: Sequence[Item]) -> Item:
    return max(items, key=lambda item: item.quantity)


def _added(items: Sequence[Item]) -> Item:
    amounts = [item.amount for item in items if item.amount is not None]
    quantity = sum(item.quantity for item in items)
    return items[0]._replace(quantity=quantity, amount=sum(amounts) if amounts else None)
