"""The section on sites that were left out in turn."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.text.left_out import left_out_table


def left_out_sites(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a site; None where no arm leaves sites out in turn."""
    return {"table": first_of(left_out_table(report.left_out), "sites")} if report.left_out else None
