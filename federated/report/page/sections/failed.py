"""Runs that failed, with the reason, runs that have not ended, and figures against their bands."""

from __future__ import annotations

from typing import Any

from federated.report.expected.figures import bands_table
from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of, first_rows


def failed(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The runs themselves."""
    runs, left_out = first_rows([run for run in report.results if run.failed], "failed runs")
    return {"runs": runs, "left_out": left_out} if runs else None


def running(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The runs that had not ended when the report was made."""
    runs, left_out = first_rows([run for run in report.results if run.running], "runs")
    return {"runs": runs, "left_out": left_out} if runs else None


def bands(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The figures with a band, those outside first; None where the study states no band."""
    return {"table": first_of(bands_table(report.figures), "figures")} if report.figures else None
