"""Reference sections: every metric, every run, settings, study file, environment."""

from __future__ import annotations

from typing import Any

from federated.metrics.names import metric_label
from federated.report.findings.arms import final_text, text_table
from federated.report.findings.findings import Report
from federated.report.findings.results import RunResult, candidates
from federated.report.page.sections.section import Drawings, first_rows

_SPREADS = (
    "Mean ± sample standard deviation over the finished seeds, at the last round. "
    "A dash: no finished run has the number."
)


def study_file(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """The study as it was asked, resolved."""
    return {"text": report.question.strip()} if report.question.strip() else None


def all_metrics(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Every final metric of every arm."""
    header, every = text_table(report.arms)
    titles = [name.replace("_", " ") for name in header]
    rows, left_out = first_rows(every, "arms")
    return {"header": titles, "rows": rows, "note": f"{_SPREADS} {left_out}", "main": 2} if rows else None


def every_run(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a run, with its partition and where it is in MLflow."""
    runs, left_out = first_rows(report.results, "runs")
    rows = [_run_row(run) for run in runs]
    return (
        {"header": list(rows[0]), "rows": [list(row.values()) for row in rows], "note": left_out}
        if rows
        else None
    )


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
        "final": final_text(run),
        "rounds": str(run.rounds_done),
        "partition": run.partition,
        "run id": run.run_id,
    }
