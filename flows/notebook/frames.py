"""The DataFrames of an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed
from federated.metrics.dictionary import EVERY_ROUND
from federated.report import Report, RunResult, table
from federated.report.findings.paired_table import paired_table
from federated.report.questions.sites_tables import sites_numbers
from federated.report.questions.tables import questions_numbers
from tasks.tracking.reading.search import results_of_study
from tasks.tracking.runs.tuning import trials_table
from tasks.tracking.studies.comparison import StudyOutcome


def runs_frame(results: Sequence[RunResult]) -> pd.DataFrame:
    """One row a run, in the study's order."""
    return pd.DataFrame([_run(result) for result in results])


def _run(result: RunResult) -> dict[str, Any]:
    changed = {path: label for path, label in result.overrides.items() if path != "name"}
    return {
        **_key(result),
        "anchor": result.anchor,
        "status": result.status,
        "message": result.message,
        "rounds": result.rounds_done,
        "seconds": result.seconds,
        "run_id": result.run_id,
        **changed,
        "main_metric": result.main_metric,
        **{name: result.final(name) for name in result.metric_names},
    }


def _key(result: RunResult) -> dict[str, Any]:
    return {"study": result.study, "arm": result.arm, "seed": result.seed}


def arms_frame(report: Report) -> pd.DataFrame:
    """One row an arm, in first-seen order."""
    return pd.DataFrame(table(report.arms))


def verdicts_frame(report: Report) -> pd.DataFrame:
    """One row an arm other than the baseline."""
    return pd.DataFrame(paired_table(report.pairs, robust=report.robust))


def curves_frame(outcome: StudyOutcome, metrics: Sequence[str]) -> pd.DataFrame:
    """One row a run and round that has a value of one of these metrics."""
    results = outcome.results
    if metrics:
        results = _with_curves(outcome, metrics)
    known = dict.fromkeys(name for result in results for name in result.metric_names)
    if unknown := [name for name in metrics if name not in known]:
        raise BadInput(f"curves: no run has the metric {unknown[0]!r}; known: {listed(sorted(known))}")
    wanted = list(metrics) or [name for name in known if name in EVERY_ROUND]
    rows = [row for result in results for row in _rounds(result, wanted)]
    return pd.DataFrame(rows, columns=["study", "arm", "seed", "round", *wanted])


def _with_curves(outcome: StudyOutcome, metrics: Sequence[str]) -> list[RunResult]:
    """The runs of the outcome, which names their arms, with these curves from MLflow."""
    read = [run for study in outcome.parent_run_ids for run in results_of_study(study, metrics)]
    named = {result.run_id: result for result in outcome.results}
    known = [(run, named[run.run_id]) for run in read if run.run_id in named]
    return [replace(run, study=shown.study, arm=shown.arm) for run, shown in known]


def _rounds(result: RunResult, metrics: Sequence[str]) -> list[dict[str, Any]]:
    by_round: dict[int, dict[str, float]] = {}
    for name in metrics:
        for at, value in zip(*result.curve(name), strict=True):
            by_round.setdefault(int(at), {})[name] = float(value)
    return [{**_key(result), "round": at, **values} for at, values in sorted(by_round.items())]


def clients_frame(results: Sequence[RunResult]) -> pd.DataFrame:
    """One row a client of a finished run."""
    parts = [pd.DataFrame({**_key(run), **run.clients}) for run in results if run.clients]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["study", "arm", "seed"])


def questions_frame(report: Report) -> pd.DataFrame:
    """One row a question, arm and anchor."""
    return pd.DataFrame(questions_numbers(report.answers))


def tuning_frame(report: Report) -> pd.DataFrame:
    """One row a trial of an arm."""
    arms = () if report.tuned is None else report.tuned.arms
    parts = [pd.DataFrame({"arm": arm.arm, **trials_table(arm)}) for arm in arms if arm.trials]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def sites_frame(report: Report) -> pd.DataFrame:
    """One row a site and arm."""
    return pd.DataFrame(sites_numbers(report.results))
