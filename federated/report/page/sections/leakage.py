"""The section on what attacks found."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.leakage import (
    inversion_text,
    leakage_sentences,
    membership_text,
    not_measured,
)


def leakage(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Sentences, a table for each kind of attack, and pictures of images drawn again."""
    tables = [table for table in (membership_text(report.results), inversion_text(report.results)) if table]
    sentences = [*leakage_sentences(report.results), *not_measured(report.results)]
    if not tables and not sentences:
        return None
    return {
        "sentences": sentences,
        "tables": [first_of(table, "rows") for table in tables],
        "reconstructions": report.reconstructions,
    }
