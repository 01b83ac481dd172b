"""The section on the cost of each arm until it reaches a target."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of


def target(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table and its note."""
    table = report.costs.text
    return {"table": first_of(table, "arms")} if table.rows else None
