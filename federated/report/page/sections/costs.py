"""The sections on costs: of each arm until it reaches a target, and of the study against its forecast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of


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
