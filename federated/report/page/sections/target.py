"""The section on the cost of each arm until it reaches a target."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_rows


def target(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table and its note."""
    costs = report.costs
    rows, left_out = first_rows(costs.rows, "arms")
    return {"header": costs.header, "rows": rows, "note": f"{costs.note} {left_out}"} if rows else None
