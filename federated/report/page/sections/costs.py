"""The sections on costs: the bill, until each arm reaches a target, and of the study against its forecast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from federated.report.bill.sites import site_bills, sites_bill_table
from federated.report.bill.tables import bill_table, lines_table
from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of


def bill(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The tables; None where no run has finished."""
    if not report.bills:
        return None
    by_site = site_bills(report.results, report.prices)
    return {
        "table": first_of(
            bill_table(report.bills, report.whole_bill, report.prices, tuning=report.tuning_bills), "arms"
        ),
        "lines": first_of(lines_table([*report.bills, *report.tuning_bills], report.prices), "lines"),
        "sites": first_of(sites_bill_table(by_site, report.prices), "rows") if by_site else None,
    }


def target(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table and its note."""
    table = report.costs.text
    return {"table": first_of(table, "arms")} if table.rows else None


def forecast_and_fact(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table, and the warnings of the forecast."""
    made = report.foreseen
    if made is None:
        return None
    return {"table": replace(made.table, rows=[*made.table.rows, *made.by_arm]), "cautions": made.cautions}
