"""Reference sections: every metric, every run, settings, study file, environment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from federated.metrics.names import metric_label
from federated.report.findings.arms import text_table
from federated.report.findings.findings import Report
from federated.report.findings.results import RunResult, arms_of, candidates, compared
from federated.report.page.sections.section import Drawings, first_of
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.table import Table

_SPREADS = (
    "Mean ± sample standard deviation over the finished seeds, at the last round. "
    "A dash: no finished run has the value."
)

_NO_RIVALS = (
    "The arms without a site, at the end, are no rivals: they show what a site gets that never trained."
)


def study_file(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The study as it was asked, resolved."""
    return {"text": report.question.strip()} if report.question.strip() else None


def all_metrics(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Every final metric of every arm, last of those that leave a site out in turn."""
    rivals = set(arms_of(compared(report.results)))
    arms = sorted(report.arms, key=lambda summary: summary.arm not in rivals)
    note = _SPREADS if len(rivals) == len(arms) else f"{_SPREADS} {_NO_RIVALS}"
    table = replace(text_table(arms), note=note)
    return {"table": first_of(table, "arms"), "main": 2} if table.rows else None


def every_run(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a run, with its partition and where it is in MLflow."""
    rows = [_run_row(run) for run in report.results]
    if not rows:
        return None
    return {"table": first_of(Table(list(rows[0]), [list(row.values()) for row in rows]), "runs")}


def shared_settings(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The settings that every run but the anchors has with the same value, seed aside."""
    if not report.results:
        return None
    first, *others = (run.parameters for run in candidates(report.results) or report.results)
    shared = {name: value for name, value in first.items() if all(o.get(name, ...) == value for o in others)}
    pairs = {name: str(value) for name, value in shared.items() if name != "seed"}
    return {"pairs": pairs} if pairs else None


def environment(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Versions and machine."""
    return {"pairs": dict(report.environment)} if report.environment else None


def _run_row(run: RunResult) -> dict[str, str]:
    """The row of a run in the table of runs; for a failed run, with its last measured values."""
    return {
        "arm": run.arm,
        "seed": str(run.seed),
        "status": run.status.lower(),
        "metric": metric_label(run.main_metric),
        "final": number(run.final(run.main_metric), decimals_of(run.main_metric, run.final(run.main_metric))),
        "rounds": str(run.rounds_done),
        "partition": run.partition,
        "run id": run.run_id,
    }
