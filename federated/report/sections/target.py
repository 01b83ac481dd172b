"""What it took every arm to reach a target."""

from __future__ import annotations

from typing import Any

from federated.report.report import Report
from federated.report.sections.section import Pictures


def target(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """The table and its note."""
    costs = report.costs
    return {"header": costs.header, "rows": costs.rows, "note": costs.note} if costs.rows else None
