"""Quantities that runs should have and do not: older runs did not log them, nor do those that train with Ray."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from federated.report.bill.lines import CO2, CORES, DATA, DOWN, ENERGY, GPUS, PRICED_BY, UP, Item, Kind
from federated.study.further.prices import Prices

_OF_EVERY_RUN = (UP, DOWN, CORES, GPUS, ENERGY, CO2)
_OF_GPUS = {(GPUS, ""), (ENERGY, GPUS), (CO2, GPUS)}


def lacking(runs: Sequence[Sequence[Item]], anchors: Sequence[str]) -> list[set[Kind]]:
    """Of each run, given as its items: what others have, and the raw data where they moved.

    A run that logged its processor time and none of a GPU had no GPU.
    """
    of_some = {item.kind for items in runs for item in items if item.what.startswith(_OF_EVERY_RUN)}
    found = []
    for items, anchor in zip(runs, anchors, strict=True):
        own = {item.kind for item in items}
        lacks = of_some - own
        if (CORES, "") in own and (GPUS, "") not in own:
            lacks -= _OF_GPUS
        if anchor == "centralised" and (DATA, "") not in own:
            lacks.add((DATA, ""))
        found.append(lacks)
    return found


def names(kinds: Collection[Kind]) -> tuple[str, ...]:
    """The lines that lack something, each once, in order."""
    lines = {what for what, _ in kinds}
    return tuple(line for line in (*_OF_EVERY_RUN, DATA) if line in lines)


def has_price(lines: Collection[str], prices: Prices | None) -> bool:
    """Whether a line has a price, so that the money is not known either."""
    if prices is None:
        return False
    return any(getattr(prices, field) is not None for line in lines if (field := PRICED_BY.get(line, "")))
