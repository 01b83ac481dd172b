"""The bill as it is foreseen, line by line as the fact will have it, and the one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from federated.report.bill.bill import Bill
from federated.report.bill.lacking import has_price, lacking, names
from federated.report.bill.lines import DATA, LINES, items_of
from federated.report.findings.results import DOWNLINK, UPLINK
from federated.study.further.prices import Prices

if TYPE_CHECKING:
    from federated.forecast import ArmForecast, Forecast

_OF_DATA = next(line.metric for line in LINES if line.what == DATA)


def foreseen_bills(forecast: Forecast, prices: Prices | None) -> list[Bill]:
    """The bill of one training of each arm, as expected; [] of forecasts of older versions."""
    arms = [arm for arm in forecast.arms if arm.used]
    by_arm = [items_of(_quantities(arm), prices) for arm in arms]
    found = []
    for arm, items, lacks in zip(arms, by_arm, lacking(by_arm, [arm.anchor for arm in arms]), strict=True):
        lines = names(lacks)
        found.append(Bill(arm.arm, tuple(items), arm.runs, arm.anchor, lines, has_price(lines, prices)))
    return found


def bill_in_all(found: Sequence[Bill]) -> Bill | None:
    """The bill of all runs of these arms together, each arm so many times; None without an arm."""
    if not found:
        return None
    items = [
        item.times(bill.runs)
        for bill in found
        for item in bill.items
        if item.what not in ("rounds", "epsilon")
    ]
    lacks = dict.fromkeys(line for bill in found for line in bill.lacks)
    without_money = any(bill.without_money for bill in found)
    return Bill("all runs", tuple(items), sum(bill.runs for bill in found), "", tuple(lacks), without_money)


def stated_prices(forecast: Forecast) -> Prices | None:
    """The prices with which a study was forecast."""
    return None if forecast.prices is None else Prices.model_validate(forecast.prices)


def _quantities(arm: ArmForecast) -> dict[str, float]:
    """What one run of an arm is to use, by metric: raw data of those alone that move them."""
    used = {
        name: value for name, value in arm.used.items() if name != _OF_DATA or arm.anchor == "centralised"
    }
    return {
        "bill/rounds": used.pop("bill/rounds"),
        UPLINK: arm.uplink.expected / arm.runs,
        DOWNLINK: arm.downlink.expected / arm.runs,
        **used,
    }
