"""Runs that did not finish, and why."""

from __future__ import annotations

from typing import Any

from federated.report.report import Report
from federated.report.sections.section import Pictures


def failed(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """The runs themselves."""
    runs = [run for run in report.results if not run.finished]
    return {"runs": runs} if runs else None
