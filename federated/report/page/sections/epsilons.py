"""The section on what is promised of privacy and what that rests on, beside what canaries show."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.epsilons import epsilon_sentences, measured_epsilons
from federated.report.questions.guarantees import guarantee_sentences


def epsilons(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Sentences, and a row for each arm with canaries, where there are any."""
    table, promised = measured_epsilons(report.results), guarantee_sentences(report.results)
    if table is None and not promised:
        return None
    shown = None if table is None else first_of(table, "arms")
    return {"sentences": [*promised, *epsilon_sentences(report.results)], "table": shown}
