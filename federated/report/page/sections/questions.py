"""The section on both questions: one model for everybody, and better than what each client has alone."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.tables import questions_table


def questions(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The table of both, where the study has anchors."""
    if not report.answers:
        return None
    return {"table": first_of(questions_table(report.answers), "arms")}
