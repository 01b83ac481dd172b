"""The figures with a band, each within it or not."""

from __future__ import annotations

from typing import Any

from federated.report.expected.figures import bands_table
from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of


def bands(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table, those outside first; None where the study states no band."""
    return {"table": first_of(bands_table(report.figures), "figures")} if report.figures else None
