"""The bills as tables: one row an arm, one row a line, and as columns of plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from federated.metrics.durations import duration
from federated.report.bill.bill import Bill
from federated.report.bill.lines import CORES, DATA, DOWN, GPUS, ON_NETWORK, PRIVACY, ROUNDS, UP, Item
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
_WITHOUT_PRICES = "No prices are stated (`prices` beside `seeds`), so no money is shown."


def bill_table(
    found: Sequence[Bill], whole: Bill | None, prices: Prices | None, note: str | None = None
) -> Table:
    """One row an arm, of one training; of several runs a last row for all together. Columns without numbers are left
    out. note: instead of the one on what was measured."""
    rows = [*found, *([whole] if whole is not None and whole.runs > 1 else [])]
    cells = {title: [of(bill) for bill in rows] for title, of in _COLUMNS.items()}
    known = {title: values for title, values in cells.items() if any(value is not None for value in values)}
    shown = dict(in_unit(title, values) for title, values in known.items())
    columns = [_title(title, prices) for title in shown]
    lines = [
        [_name(bill), *(_cell(title, values[at]) for title, values in shown.items())]
        for at, bill in enumerate(rows)
    ]
    return Table(["one training", *columns], lines, bill_note(found, prices) if note is None else note)


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
            _with_unit(item),
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


def bill_note(found: Sequence[Bill], prices: Prices | None) -> str:
    """What the figures are of, and which are measured."""
    moved = any(bill.quantity(DATA) is not None for bill in found)
    timed = any(bill.quantity(ON_NETWORK) is not None for bill in found)
    said = [
        "Each row is one training, the mean over its seeds. Bytes are counted on the payloads.",
        "MB up of centralised training are the raw training data, moved to one place once." if moved else "",
        "The time on the network is computed for the stated network and devices, from the bytes of every round."
        if timed
        else "",
        "Processor time is this machine's, for the work of all clients and the server, without evaluation; that of "
        "other devices is another.",
        _about_energy(found),
        _WITHOUT_PRICES if prices is None else "",
    ]
    return " ".join(filter(None, said))


def _about_energy(found: Sequence[Bill]) -> str:
    origins = {item.origin for bill in found for item in bill.items if item.unit == "kWh"}
    if not origins:
        return ""
    if all(origin.startswith("computed") for origin in origins):
        return "Energy is computed from the stated watts, not measured."
    if len(origins) == 1:
        return "Energy was measured on this machine (RAPL), whatever ran on it."
    return "Energy of processors was measured on this machine (RAPL), that of GPUs is computed from the stated watts."


def _name(bill: Bill) -> str:
    return f"all {bill.runs:,} runs" if bill.of == "all runs" else bill.of


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
