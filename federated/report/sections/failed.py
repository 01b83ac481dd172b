"""Runs that failed, and why; and those that nobody has ended yet."""

from __future__ import annotations

from typing import Any

from federated.report.report import Report
from federated.report.sections.section import Pictures


def failed(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """The runs themselves."""
    runs = [run for run in report.results if run.failed]
    return {"runs": runs} if runs else None


def running(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """The runs that had not ended when the report was made."""
    runs = [run for run in report.results if run.running]
    return {"runs": runs} if runs else None
