"""The ranked table, and how to read it."""

from __future__ import annotations

from typing import Any

from federated.report.paired import BEST
from federated.report.report import Report
from federated.report.results import shared_partitions
from federated.report.sections.section import Pictures
from federated.report.words import looks_text


def ranking(report: Report, pictures: Pictures) -> dict[str, Any]:
    """Rows, how arms are drawn, and what the note says of the comparison."""
    return {
        "rows": report.ranking,
        "looks": report.looks,
        "compared": bool(report.pairs),
        "delta": report.delta,
        "family": "all pairs of arms" if report.baseline == BEST else "all arms",
        "unpaired": any(pair.unpaired for pair in report.pairs),
        "when_judged": looks_text(report.pairs, report.looks_taken),
        "partitions": shared_partitions(report.results),
    }
