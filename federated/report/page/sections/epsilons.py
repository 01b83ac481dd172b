"""The section on what is promised of privacy beside what canaries show."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.epsilons import epsilon_sentences, measured_epsilons


def epsilons(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Sentences, and a row for each arm with canaries."""
    table = measured_epsilons(report.results)
    if table is None:
        return None
    return {"sentences": epsilon_sentences(report.results), "table": first_of(table, "arms")}
