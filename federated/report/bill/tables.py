"""The bills as tables: one row an arm, one row a line, and as columns of plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from federated.metrics.durations import duration
from federated.report.bill.bill import Bill
from federated.report.bill.lines import (
    CO2,
    CORES,
    DATA,
    DOWN,
    ENERGY,
    GPUS,
    ON_NETWORK,
    PRIVACY,
    ROUNDS,
    UP,
    Item,
)
from federated.report.bill.notes import bill_note
from federated.report.bill.tuning import NOTE, rows_of_tuning
from federated.report.text.numbers_as_text import NOTHING, number
from federated.report.text.table import Table
from federated.study.further.prices import Prices

_SMALL: dict[str, tuple[str, float]] = {
    "core-hours": ("core-seconds", 3600.0),
    "GPU-hours": ("GPU-seconds", 3600.0),
    "kWh": ("Wh", 1000.0),
    "kg CO2": ("g CO2", 1000.0),
}
"""What a column is in where all its figures are below a tenth of the usual unit, of which one has so many."""
_COLUMNS: dict[str, Callable[[Bill], float | None]] = {
    "rounds": lambda bill: bill.quantity(ROUNDS),
    "MB up": lambda bill: bill.quantity(UP, DATA),
    "MB down": lambda bill: bill.quantity(DOWN),
    "time on the network": lambda bill: bill.quantity(ON_NETWORK),
    "core-hours": lambda bill: bill.quantity(CORES),
    "GPU-hours": lambda bill: bill.quantity(GPUS),
    "kWh": lambda bill: bill.kwh,
    "kg CO2": lambda bill: bill.co2,
    "cost": lambda bill: bill.money,
    "epsilon": lambda bill: bill.quantity(PRIVACY),
}
_LINES = {
    "MB up": (UP, DATA),
    "MB down": (DOWN,),
    "core-hours": (CORES,),
    "GPU-hours": (GPUS,),
    "kWh": (ENERGY,),
    "kg CO2": (CO2,),
}
"""The lines without which a column has no figure."""
_NOT_KNOWN = "not known"


def bill_table(
    found: Sequence[Bill],
    whole: Bill | None,
    prices: Prices | None,
    note: str | None = None,
    tuning: Sequence[Bill] = (),
) -> Table:
    """One row an arm, of one training; of several runs a further row for all together. Columns without numbers are left
    out. note: instead of the one on what was measured. tuning: of each arm that was tuned, with rows of their own."""
    rows = [*found, *([whole] if whole is not None and whole.runs > 1 else [])]
    rows += rows_of_tuning(tuning, whole)
    noted = bill_note(rows, prices) if note is None else note
    cells = {title: [of(bill) for bill in rows] for title, of in _COLUMNS.items()}
    known = {title: values for title, values in cells.items() if any(value is not None for value in values)}
    shown = dict(in_unit(title, values) for title, values in known.items())
    columns = [_title(title, prices) for title in shown]
    lines = [
        [
            _name(bill),
            *(
                _NOT_KNOWN if _lacks(bill, title) else _cell(unit, values[at])
                for title, (unit, values) in zip(known, shown.items(), strict=True)
            ),
        ]
        for at, bill in enumerate(rows)
    ]
    return Table(["one training", *columns], lines, f"{noted} {NOTE}" if tuning else noted)


def _lacks(bill: Bill, title: str) -> bool:
    """Whether a bill should have a figure in a column, which is not known."""
    return bill.without_money if title == "cost" else bool(set(_LINES.get(title, ())) & set(bill.lacks))


def in_unit(title: str, values: Sequence[float | None]) -> tuple[str, list[float | None]]:
    """A column in its usual unit, or in a smaller one."""
    small = max(value for value in values if value is not None) < 0.1
    name, factor = _SMALL[title] if small and title in _SMALL else (title, 1.0)
    return name, [None if value is None else factor * value for value in values]


def lines_table(found: Sequence[Bill], prices: Prices | None) -> Table:
    """One row an arm and line: its quantity, the metric that it was logged as, how that is known, its price."""
    rows = [
        [
            bill.of,
            item.what,
            f"{_with_unit(item)}{_some(item, bill)}",
            item.metric,
            item.origin,
            _price(item, prices),
            number(item.amount),
        ]
        for bill in found
        for item in bill.items
    ]
    money = f"amount, {prices.currency}" if prices and prices.currency else "amount"
    return Table(["arm", "line", "quantity", "metric", "known by", "price", money], rows)


def bill_numbers(found: Sequence[Bill]) -> dict[str, list[Any]]:
    """One row an arm and line as columns of plain numbers, None where there is none."""
    rows = [{"arm": bill.of, "runs": bill.runs, **item._asdict()} for bill in found for item in bill.items]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _some(item: Item, bill: Bill) -> str:
    """Of how many runs a mean is where not all know of it."""
    return "" if item.known_of == bill.runs else f" (mean of {item.known_of} of {bill.runs} runs)"


def _name(bill: Bill) -> str:
    if bill.of == "all runs":
        return f"all {bill.runs:,} runs"
    return f"{bill.of}, {bill.runs:,} trainings" if bill.is_tuning else bill.of


def _title(title: str, prices: Prices | None) -> str:
    return f"cost, {prices.currency}" if title == "cost" and prices and prices.currency else title


def _cell(title: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    if title == "time on the network":
        return duration(value)
    return in_digits(title, value)


def in_digits(title: str, value: float | None) -> str:
    """Three digits; of rounds all, where they are whole."""
    whole = title == ROUNDS and value is not None and value == round(value)
    return number(value, 0 if whole else None)


def _with_unit(item: Item) -> str:
    return f"{in_digits(item.what, item.quantity)} {item.unit}".strip()


def _price(item: Item, prices: Prices | None) -> str:
    """The stated price, in its own unit."""
    if item.price is None or prices is None:
        return NOTHING
    return f"{item.priced_by} {getattr(prices, item.priced_by):g}"
