"""The section on how the data were read: the task, and the role of each column."""

from __future__ import annotations

from typing import Any

from federated.federation.data_table import HEADER
from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings
from federated.report.text.table import Table


def data(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A table for each data set, as the data were when the study began."""
    if report.foreseen is None or not report.foreseen.data:
        return None
    return {"data": [(one, Table(HEADER, one.rows)) for one in report.foreseen.data]}
