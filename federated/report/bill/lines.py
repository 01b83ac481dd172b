"""The lines of a bill: each a logged quantity in a unit, and the price that it has.

A further cost is a further entry of `LINES`: its quantity has to be a metric of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from federated.report.findings.results import (
    BYTES_PER_MB,
    DOWNLINK,
    EPSILON,
    SIMULATED_SECONDS,
    UPLINK,
    RunResult,
)
from federated.study.further.prices import Prices

Origin = Literal["counted", "measured here", "computed"]
SECONDS_AN_HOUR, _KWH, _MB_A_GB = 3600.0, 3.6e6, 1e3

ROUNDS, UP, DOWN, DATA = "rounds", "sent by clients", "received by clients", "raw data, moved to one place"
ON_NETWORK, HERE = "time on the stated network", "time on this machine"
CORES, GPUS = "processor", "GPU"
ENERGY, CO2, PRIVACY = "energy", "CO2", "epsilon"
_CORE, _GPU, _JOULES = "bill/core_seconds", "bill/gpu_seconds", "bill/energy_joules"


class Line(NamedTuple):
    """A line before it has a quantity.

    unit: of the quantity, `per` of which are one of the metric's. priced_by: the field of the prices, "" for none, of
    `a_price` units. origin: how the quantity is known. applies: to which runs.
    """

    what: str
    unit: str
    metric: str
    per: float = 1.0
    priced_by: str = ""
    a_price: float = 1.0
    origin: Origin = "counted"
    applies: Callable[[RunResult], bool] = lambda run: True


def _moves_data(run: RunResult) -> bool:
    return run.anchor == "centralised"


LINES = (
    Line(ROUNDS, "rounds", "bill/rounds"),
    Line(UP, "MB", UPLINK, BYTES_PER_MB, "gb_up", _MB_A_GB),
    Line(DOWN, "MB", DOWNLINK, BYTES_PER_MB, "gb_down", _MB_A_GB),
    Line(DATA, "MB", "bill/data_bytes", BYTES_PER_MB, "gb_up", _MB_A_GB, applies=_moves_data),
    Line(ON_NETWORK, "s", SIMULATED_SECONDS, origin="computed"),
    Line(HERE, "s", "system/run_seconds", origin="measured here"),
    Line(CORES, "core-hours", _CORE, SECONDS_AN_HOUR, "core_hour", origin="measured here"),
    Line(GPUS, "GPU-hours", _GPU, SECONDS_AN_HOUR, "gpu_hour", origin="measured here"),
)
"""What every run logs."""
PRICED_BY = {**{line.what: line.priced_by for line in LINES}, ENERGY: "kwh"}
"""The field of the price of each line, "" of those that have none."""
Kind = tuple[str, str]
"""What is known: the line, and of energy and CO2 of what."""


class Item(NamedTuple):
    """A line with its quantity. price: a unit's, None where it has none; priced_by: its field. amount: of money.

    known_of: the runs that it is the mean or the sum of.
    """

    what: str
    unit: str
    quantity: float
    metric: str
    origin: str
    priced_by: str = ""
    price: float | None = None
    amount: float | None = None
    known_of: int = 1

    @property
    def kind(self) -> Kind:
        """Of the processors' energy, and its CO2, the same whether a run measured it or has it computed."""
        if not self.what.startswith((ENERGY, CO2)):
            return self.what, ""
        return self.what.partition(",")[0], GPUS if self.metric == _GPU else CORES

    def times(self, factor: float) -> Item:
        """So many of it."""
        amount = None if self.amount is None else factor * self.amount
        return self._replace(quantity=factor * self.quantity, amount=amount)


def items_of(
    found: Mapping[str, float], prices: Prices | None, lines: tuple[Line, ...] = LINES
) -> list[Item]:
    """The items of quantities by metric, with what follows from them: energy and CO2."""
    items = [
        _item(
            line.what,
            line.unit,
            found[line.metric] / line.per,
            line.metric,
            line.origin,
            _price(line, prices),
        )
        for line in lines
        if line.metric in found
    ]
    energy = _energy(found, prices)
    items += energy
    if prices is not None and prices.co2_per_kwh is not None:
        items += [
            Item(
                CO2,
                "kg",
                each.quantity * prices.co2_per_kwh,
                each.metric,
                f"{each.origin}, times co2_per_kwh",
            )
            for each in energy
        ]
    if EPSILON in found:
        items.append(Item(PRIVACY, "", found[EPSILON], EPSILON, "accounted"))
    return items


def metrics_of(run: RunResult) -> dict[str, float]:
    """The quantities that a run has logged, by metric: those that apply to it."""
    names = [line.metric for line in LINES if line.applies(run)] + [_JOULES, EPSILON]
    found = {name: value for name in names if (value := run.final(name)) is not None}
    if run.resumed_from:
        found.pop("system/run_seconds", None)  # it is of the rounds that were left
    return {"bill/rounds": float(run.rounds_done), **found}  # older runs have not logged their rounds


def _energy(found: Mapping[str, float], prices: Prices | None) -> list[Item]:
    """Measured energy, of processors and memory, where there is any; else by stated watts. Of a GPU by these."""
    by_watts = {_CORE: ("watts_per_core", CORES), _GPU: ("watts_per_gpu", GPUS)}
    kwh = None if prices is None else prices.kwh
    items = []
    if _JOULES in found:
        joules = by_watts.pop(_CORE) and found[_JOULES]
        items.append(_item(ENERGY, "kWh", joules / _KWH, _JOULES, "measured here", ("kwh", kwh)))
    for metric, (field, of) in by_watts.items():
        watts = None if prices is None else getattr(prices, field)
        if metric in found and watts is not None:
            origin = f"computed: times {field} {watts:g}"
            used = found[metric] * watts / _KWH
            items.append(_item(f"{ENERGY}, {of}", "kWh", used, metric, origin, ("kwh", kwh)))
    return items


def _price(line: Line, prices: Prices | None) -> tuple[str, float | None]:
    """The field and the price of a unit of this line."""
    stated = None if prices is None or not line.priced_by else getattr(prices, line.priced_by)
    return line.priced_by, None if stated is None else stated / line.a_price


def _item(
    what: str, unit: str, quantity: float, metric: str, origin: str, priced: tuple[str, float | None]
) -> Item:
    field, price = priced
    if price is None:
        return Item(what, unit, quantity, metric, origin)
    return Item(what, unit, quantity, metric, origin, field, price, price * quantity)
