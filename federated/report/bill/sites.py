"""The bill of each site: what it sends, receives and computes in one training of an arm.

Of clients by name alone: those that a study makes up hold other examples with every seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from federated.report.bill.bill import Bill, bills, mean_of
from federated.report.bill.lines import CORES, DOWN, GPUS, ROUNDS, UP, Item, items_of
from federated.report.bill.tables import in_digits, in_unit
from federated.report.findings.results import BYTES_PER_MB, DOWNLINK, UPLINK, RunResult, compared
from federated.report.questions.answers import client_word
from federated.report.text.table import Table
from federated.study.further.prices import Prices

_SHARED = ("bill/core_seconds", "bill/gpu_seconds", "bill/energy_joules")
"""What is measured of all sites together."""
_NOTE = (
    "Bytes are counted at each site. Processor time, GPU time and energy are its share of what this machine used for "
    "the arm, by the examples that it trained on: a simulation does not measure a site by itself. Raw data are the "
    "site's training examples as they are stored, which would travel to have all of them in one place."
)


class SiteBill(NamedTuple):
    """site: its name. bill: in one training of an arm. data_bytes: of its training examples."""

    site: str
    bill: Bill
    data_bytes: float


def site_bills(results: Sequence[RunResult], prices: Prices | None) -> list[SiteBill]:
    """Every site of every arm, arms in first-seen order; [] where clients have no names or runs logged none of it."""
    runs = [run for run in compared(results) if run.finished and run.by_client]
    if not runs or client_word(results) != "site":
        return []
    return [
        found
        for whole in bills(results, prices)
        for found in _of_arm(whole, [run for run in runs if run.arm == whole.of], prices)
    ]


def _of_arm(whole: Bill, runs: Sequence[RunResult], prices: Prices | None) -> Iterator[SiteBill]:
    """whole: the bill of the arm, with what is not known of it."""
    rows: dict[str, list[Mapping[str, float]]] = {}
    for run in runs:
        for site, row in _rows(run):
            rows.setdefault(site, []).append(row)
    for site, of_seeds in rows.items():
        items: list[list[Item]] = [items_of(row, prices) for row in of_seeds]
        data = float(np.mean([row["bill/data_bytes"] for row in of_seeds]))
        kept = [[item for item in each if item.metric != "bill/data_bytes"] for each in items]
        yield SiteBill(site, whole._replace(items=tuple(mean_of(kept)), runs=len(of_seeds)), data)


def _rows(run: RunResult) -> Iterator[tuple[str, dict[str, float]]]:
    """Each site of a run with its quantities by the metrics that they are parts of."""
    columns = run.by_client
    trained_on = np.array(columns["examples_trained_on"], np.float64)
    shares = trained_on / max(trained_on.sum(), 1.0)
    wholes = {name: value for name in _SHARED if (value := run.final(name)) is not None}
    for at, site in enumerate(columns["client"]):
        yield (
            str(site),
            {
                "bill/rounds": float(columns["rounds"][at]),
                UPLINK: float(columns["uplink_bytes"][at]),
                DOWNLINK: float(columns["downlink_bytes"][at]),
                "bill/data_bytes": float(columns["data_bytes"][at]),
                **{name: whole * float(shares[at]) for name, whole in wholes.items()},
            },
        )


def sites_bill_table(found: Sequence[SiteBill], prices: Prices | None) -> Table:
    """One row a site and arm. Columns of money and energy where some row has any."""
    figures: dict[str, list[float | None]] = {
        "rounds": [each.bill.quantity(ROUNDS) for each in found],
        "MB up": [each.bill.quantity(UP) for each in found],
        "MB down": [each.bill.quantity(DOWN) for each in found],
        "core-hours": [each.bill.quantity(CORES) for each in found],
        "GPU-hours": [each.bill.quantity(GPUS) for each in found],
        "kWh": [each.bill.kwh for each in found],
        f"cost, {prices.currency}" if prices and prices.currency else "cost": [
            each.bill.money for each in found
        ],
        "raw data, MB": [each.data_bytes / BYTES_PER_MB for each in found],
    }
    shown = dict(
        in_unit(title, values)
        for title, values in figures.items()
        if any(value is not None for value in values)
    )
    rows = [
        [each.site, each.bill.of, *(in_digits(title, values[at]) for title, values in shown.items())]
        for at, each in enumerate(found)
    ]
    return Table(["site", "one training", *shown], rows, _NOTE)


def sites_bill_numbers(found: Sequence[SiteBill]) -> dict[str, list[Any]]:
    """One row a site, arm and line as columns of plain numbers."""
    rows = [
        {"client": each.site, "arm": each.bill.of, "runs": each.bill.runs, **item._asdict()}
        for each in found
        for item in each.bill.items
    ]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
