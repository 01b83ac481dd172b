"""The note below a bill: what its figures are of, how they are known, and which are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federated.report.bill.bill import Bill
from federated.report.bill.lines import CORES, DATA, DOWN, ENERGY, GPUS, ON_NETWORK, UP
from federated.study.further.prices import Prices

_WITHOUT_PRICES = "No prices are stated (`prices` beside `seeds`), so no money is shown."
_PRICED = {"gb_up": (UP, DATA), "gb_down": (DOWN,), "core_hour": (CORES,), "gpu_hour": (GPUS,)}


def bill_note(found: Sequence[Bill], prices: Prices | None) -> str:
    """What the figures are of, and which are measured. found: also that of all runs."""
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
        *_about_energy(found),
        _about_what_lacks(found),
        _WITHOUT_PRICES if prices is None else _without_use(found, prices),
    ]
    return " ".join(filter(None, said))


def _about_energy(found: Sequence[Bill]) -> Iterator[str]:
    items = [item for bill in found for item in bill.items if item.what.startswith(ENERGY)]
    measured = any(item.origin.startswith("measured") for item in items)
    computed = {item.kind for item in items if not item.origin.startswith("measured")}
    if measured:
        yield "Energy of processors and memory was measured on this machine (RAPL), whatever ran on it."
    if measured and (ENERGY, CORES) in computed:
        yield "Where it was not measured, it is computed from the stated watts."
    if measured and (ENERGY, GPUS) in computed:
        yield "That of GPUs is computed from the stated watts."
    if computed and not measured:
        yield "Energy is computed from the stated watts, not measured."
    used_gpus = any(item.what == GPUS for bill in found for item in bill.items)
    if items and used_gpus and not any(item.kind == (ENERGY, GPUS) for item in items):
        yield "Energy and CO2 are those of the processors alone: `watts_per_gpu` is not stated."


def _about_what_lacks(found: Sequence[Bill]) -> str:
    """Whose quantities are not known."""
    lines = dict.fromkeys(line for bill in found for line in bill.lacks)
    if not lines:
        return ""
    whose = "; ".join(
        f"{line} ({', '.join(bill.of for bill in found if line in bill.lacks)})" for line in lines
    )
    return f"Not known, as not all runs logged it, and in no sum or cost: {whose}."


def _without_use(found: Sequence[Bill], prices: Prices) -> str:
    """The prices that are stated and price nothing here."""
    there = {item.what for bill in found for item in bill.items}
    stated = prices.model_fields_set & {name for name, value in prices if value is not None}
    idle = [name for name, lines in _PRICED.items() if name in stated and not there & set(lines)]
    said = [f"{' and '.join(f'`{name}`' for name in idle)} had nothing to price."] if idle else []
    if (of_energy := [name for name in ("kwh", "co2_per_kwh") if name in stated]) and not any(
        what.startswith(ENERGY) for what in there
    ):
        named = " and ".join(f"`{name}`" for name in of_energy)
        said.append(f"{named} had nothing to price: no energy was measured, and no watts are stated.")
    return " ".join(said)
