"""The end of a study: its arms compared, in MLflow and in one page on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts

from federated.errors import BadInput
from federated.home import home
from federated.report import (
    ArmSummary,
    RunResult,
    arm_curves,
    arm_outcomes,
    compare,
    png,
    response_curve,
    table,
    write_page,
)
from federated.study import StudyConfig
from tasks.tracking import runs
from tasks.tracking.environment import environment
from tasks.tracking.search import newest_study, results_of_study, study_names
from tasks.tracking.store import comparison_url, connect, tracking_uri


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to: its runs, its arms compared, where to look."""

    study: str
    parent_run_id: str
    results: tuple[RunResult, ...]
    arms: tuple[ArmSummary, ...]
    report: Path
    url: str
    pictures: dict[str, bytes]


def conclude(parent_run_id: str, study: StudyConfig, results: Sequence[RunResult]) -> StudyOutcome:
    """Compare the arms and log table, plots and report on the study's parent run."""
    outcome = write_report(parent_run_id, study.name, study.description, runs.as_yaml(study), results)
    connect().log_table(parent_run_id, table(outcome.arms), "comparison.json")
    runs.log_files(parent_run_id, {"report.html": outcome.report.read_bytes(), **outcome.pictures})
    return outcome


def compare_again(name: str) -> StudyOutcome:
    """The comparison of the newest run of a study, from MLflow alone. Raises BadInput where there is none."""
    parent_run_id = newest_study(name)
    if parent_run_id is None:
        known = ", ".join(study_names()) or "none yet"
        raise BadInput(f"there is no study {name!r} in MLflow at {tracking_uri()}; known: {known}")
    results = results_of_study(parent_run_id)
    if not results:
        raise BadInput(f"the newest run of the study {name!r} has no runs yet")
    client = connect()
    description = client.get_run(parent_run_id).data.tags.get("mlflow.note.content", "")
    question = mlflow.artifacts.load_text(f"runs:/{parent_run_id}/study.yaml")
    return write_report(parent_run_id, name, description, question, results)


def write_report(
    parent_run_id: str, name: str, description: str, question: str, results: Sequence[RunResult]
) -> StudyOutcome:
    """Compare the arms and write the report under var/reports."""
    parent = connect().get_run(parent_run_id)
    url = comparison_url(parent.info.experiment_id, [result.run_id for result in results])
    command = parent.data.tags.get("mlflow.source.name", "")
    path = home() / "reports" / f"{name}-{parent_run_id[:8]}" / "report.html"
    pictures = {"Every run": png(arm_outcomes(results)), "On the way": png(arm_curves(results))}
    if (response := response_curve(results)) is not None:
        pictures = {"Response to heterogeneity": png(response), **pictures}
    links = {"Comparison in MLflow": url}
    write_page(path, name, description, question, results, pictures, links, environment(), command)
    return StudyOutcome(
        study=name,
        parent_run_id=parent_run_id,
        results=tuple(results),
        arms=tuple(compare(results)),
        report=path,
        url=url,
        pictures={f"{title.lower().replace(' ', '_')}.png": picture for title, picture in pictures.items()},
    )
