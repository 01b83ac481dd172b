"""The end of a study: its arms compared, in MLflow and in one page on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts

from federated.choice import Choice
from federated.errors import BadInput
from federated.home import home
from federated.networks import CLOCK_INPUTS
from federated.report import (
    ArmSummary,
    Costs,
    RunResult,
    arm_curves,
    arm_outcomes,
    compare,
    cost_figures,
    costs,
    on_network,
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
    costs: Costs
    report: Path
    url: str
    pictures: dict[str, bytes]


def conclude(parent_run_id: str, study: StudyConfig, results: Sequence[RunResult]) -> StudyOutcome:
    """Compare the arms and log table, plots and report on the study's parent run."""
    outcome = write_report(parent_run_id, study.name, study.description, runs.as_yaml(study), results)
    connect().log_table(parent_run_id, table(outcome.arms), "comparison.json")
    connect().log_table(parent_run_id, outcome.costs.table, "to_target.json")
    runs.log_files(parent_run_id, {"report.html": outcome.report.read_bytes(), **outcome.pictures})
    return outcome


def compare_again(name: str, network: Choice | None = None, target: float | None = None) -> StudyOutcome:
    """The comparison of the newest run of a study, from MLflow alone. Raises BadInput where there is none.

    network: time the finished rounds on it, instead of what the runs stated. target: of the main metric, instead of
    the study's own. Nothing in MLflow changes; the report is written anew.
    """
    parent_run_id = newest_study(name)
    if parent_run_id is None:
        known = ", ".join(study_names()) or "none yet"
        raise BadInput(f"there is no study {name!r} in MLflow at {tracking_uri()}; known: {known}")
    results = results_of_study(parent_run_id, more=CLOCK_INPUTS if network else ())
    if not results:
        raise BadInput(f"the newest run of the study {name!r} has no runs yet")
    results = on_network(results, network) if network else results
    client = connect()
    description = client.get_run(parent_run_id).data.tags.get("mlflow.note.content", "")
    question = mlflow.artifacts.load_text(f"runs:/{parent_run_id}/study.yaml")
    return write_report(parent_run_id, name, description, question, results, target)


def write_report(
    parent_run_id: str,
    name: str,
    description: str,
    question: str,
    results: Sequence[RunResult],
    target: float | None = None,
) -> StudyOutcome:
    """Compare the arms and write the report under var/reports."""
    parent = connect().get_run(parent_run_id)
    url = comparison_url(parent.info.experiment_id, [result.run_id for result in results])
    command = parent.data.tags.get("mlflow.source.name", "")
    path = home() / "reports" / f"{name}-{parent_run_id[:8]}" / "report.html"
    response = response_curve(results)
    figures = {
        **({} if response is None else {"Response to heterogeneity": response}),
        "Every run": arm_outcomes(results),
        "On the way": arm_curves(results),
        **cost_figures(results),
    }
    pictures, needed = {title: png(figure) for title, figure in figures.items()}, costs(results, target)
    links = {"Comparison in MLflow": url}
    write_page(path, name, description, question, results, pictures, links, environment(), command, needed)
    return StudyOutcome(
        study=name,
        parent_run_id=parent_run_id,
        results=tuple(results),
        arms=tuple(compare(results)),
        costs=needed,
        report=path,
        url=url,
        pictures={f"{title.lower().replace(' ', '_')}.png": picture for title, picture in pictures.items()},
    )
