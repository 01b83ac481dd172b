"""The ranked table, with a guide to reading it, and the tables of tuning."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.findings.ranking import CHANCES_TITLE, GAP_TITLES
from federated.report.findings.results import compared, shared_partitions
from federated.report.findings.verdicts import BEST
from federated.report.page.sections.section import Drawings, first_of, first_rows
from federated.report.text.phrases import CHANCES, looks_text
from federated.report.tuning.before_and_after import choices_table


def ranking(report: Report, drawings: Drawings) -> dict[str, Any]:
    """Rows, the drawing of each arm, and what the guide says of the comparison."""
    rows, left_out = first_rows(report.ranking, "arms, the best")
    return {
        "rows": rows,
        "left_out": left_out,
        "looks": report.looks,
        "compared": bool(report.pairs),
        "reference": f"the same arm of {report.versions[0].label}" if report.versions else "the baseline",
        "chances": CHANCES.format(delta=f"{report.delta:g}")
        if CHANCES_TITLE in (rows[0].cells if rows else {})
        else "",
        "levels": any(gap in rows[0].cells for gap in GAP_TITLES) if rows else False,
        "delta": report.delta,
        "family": "pairs of arms" if report.baseline == BEST else "arms",
        "robust": report.robust,
        "picked": any(pair.picked for pair in report.pairs),
        "unpaired": any(pair.unpaired for pair in report.pairs),
        "when_judged": looks_text(report.pairs, report.looks_taken, robust=report.robust),
        "partitions": shared_partitions(compared(report.results)),
    }


def critical_differences(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The ranks over several data sets, or why there are none; None where there is one data set."""
    if report.across is None:
        return None
    return {"name": TITLE, "sentences": report.across.sentences, "drawn": TITLE in drawings.pictures}


def tuning(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Each difference before tuning and after it, what each arm chose, and warnings; None where nothing was tuned."""
    if report.tuned is None:
        return None
    return {
        "differences": first_of(report.differences, "arms"),
        "choices": first_of(choices_table(report.tuned), "arms"),
        "warnings": report.tuned.warnings,
    }


TITLE = "Critical differences"
