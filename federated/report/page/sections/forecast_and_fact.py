"""The section that compares the forecast of the study with its actual cost."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings


def forecast_and_fact(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table, and what the forecast warned of."""
    if report.foreseen is None:
        return None
    made = report.foreseen
    return {
        "header": made.header,
        "rows": made.rows + made.by_arm,
        "note": made.note,
        "cautions": made.cautions,
    }
