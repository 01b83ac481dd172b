"""The note below a bill: what its figures are of, how they are known, and which are not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from federated.report.bill.bill import Bill
from federated.report.bill.lines import CORES, DATA, DOWN, ENERGY, GPUS, ON_NETWORK, PRIVACY, UP
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
        "Epsilon is the largest of the seeds, which all of them keep; no price is on it."
        if any(item.what == PRIVACY for bill in found for item in bill.items)
        else "",
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
    """The prices and watts that are stated and have no part in the bill, and why."""
    there = {item.what for bill in found for item in bill.items}
    stated = prices.model_fields_set & {name for name, value in prices if value is not None}
    idle = [name for name, lines in _PRICED.items() if name in stated and not there & set(lines)]
    said = [f"{_named(idle)} had nothing to price."] if idle else []
    of_energy = [name for name in ("kwh", "co2_per_kwh") if name in stated]
    if of_energy and not any(what.startswith(ENERGY) for what in there):
        watts = stated & {"watts_per_core", "watts_per_gpu"}
        why = "of nothing that has watts the hours are known" if watts else "no watts are stated"
        said.append(f"{_named(of_energy)} had nothing to price: no energy was measured, and {why}.")
    said += [f"`{name}` was not used: {why}." for name, why in _idle_watts(found, there) if name in stated]
    if not stated & {*_PRICED, "kwh"}:
        said.append("No money is shown, as no price is stated.")
    return " ".join(said)


def _idle_watts(found: Sequence[Bill], there: Collection[str]) -> Iterator[tuple[str, str]]:
    """The fields of watts by which no energy was computed, and why not."""
    energy = [item for bill in found for item in bill.items if item.what.startswith(ENERGY)]
    of_cores = [item for item in energy if item.kind == (ENERGY, CORES)]
    if not any(item.origin.startswith("computed") for item in of_cores):
        why = "the processors' energy was measured" if of_cores else "no processor time is known"
        yield "watts_per_core", why
    if GPUS not in there:
        yield "watts_per_gpu", "no time on a GPU is known"


def _named(fields: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in fields)
