"""The end of a study: its arms compared, in MLflow and in one page on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
import yaml
from pydantic import ValidationError

from federated.choice import Choice
from federated.errors import BadInput, readable
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
from federated.report.arm_intervals import difference_picture, gap_picture
from federated.report.paired import compare_paired, paired_table
from federated.report.pareto import pareto, problems_of
from federated.report.pareto_picture import pareto_picture
from federated.report.verdict import sentences
from federated.study import Comparison, StudyConfig
from tasks.tracking import runs
from tasks.tracking.environment import environment
from tasks.tracking.search import newest_study, results_of_study, study_names
from tasks.tracking.store import comparison_url, connect, tracking_uri

_LONGEST_TAG = 5000
_LONGEST_NAME = 150


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to: its runs, its arms compared, where to look."""

    study: str
    parent_run_id: str
    results: tuple[RunResult, ...]
    arms: tuple[ArmSummary, ...]
    costs: Costs
    verdict: tuple[str, ...]
    report: Path
    url: str
    pictures: dict[str, bytes]


def conclude(parent_run_id: str, study: StudyConfig, results: Sequence[RunResult]) -> StudyOutcome:
    """Compare the arms and log tables, plots, report and the verdict on the study's parent run."""
    question = runs.as_yaml(study)
    outcome = write_report(parent_run_id, study.name, study.description, question, results, study.comparison)
    client, pairs = connect(), compare_paired(results, study.comparison.baseline, study.comparison.delta)
    client.log_table(parent_run_id, table(outcome.arms), "comparison.json")
    client.log_table(parent_run_id, outcome.costs.table, "to_target.json")
    if pairs:
        client.log_table(parent_run_id, paired_table(pairs), "paired.json")
    runs.log_files(parent_run_id, {"report.html": outcome.report.read_bytes(), **outcome.pictures})
    runs.set_tags(parent_run_id, {"verdict": "\n".join(outcome.verdict)[:_LONGEST_TAG]})
    places = pareto(outcome.arms, problems_of(results))
    for result in results:
        if result.arm in places:
            runs.set_tags(result.run_id, {"pareto": places[result.arm]})
    return outcome


def compare_again(
    name: str,
    network: Choice | None = None,
    target: float | None = None,
    baseline: str | None = None,
    delta: float | None = None,
) -> StudyOutcome:
    """The comparison of the newest run of a study, from MLflow alone. Raises BadInput where there is none.

    network: time the finished rounds on it, instead of what the runs stated. target: of the main metric, instead of
    the study's own. baseline, delta: likewise. Nothing in MLflow changes; the report is written anew, and where
    anything was asked for, beside the study's own under a name that says what.
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
    stated = yaml.safe_load(question).get("comparison", {})
    wanted = {
        name: value for name, value in {"baseline": baseline, "delta": delta}.items() if value is not None
    }
    try:
        judged = Comparison.model_validate({**stated, **wanted})
    except ValidationError as error:
        raise BadInput(readable(error)) from error
    asked = {"network": network.label() if network else None, "target": target, **wanted}
    file = file_name({name: value for name, value in asked.items() if value is not None})
    return write_report(parent_run_id, name, description, question, results, judged, target, file)


def file_name(asked: Mapping[str, object]) -> str:
    """The name of a report that answers a question: `report-network-4g-target-0.8.html`; nothing asked: `report.html`.

    What a file name cannot hold becomes a dash; what makes it too long, a digest.
    """
    told = "-".join(f"{option}-{value}" for option, value in asked.items())
    plain = re.sub(r"[^\w.=]+", "-", told).strip("-")
    if len(plain) > _LONGEST_NAME:
        plain = f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    return "-".join(["report", *([plain] if plain else [])]) + ".html"


def write_report(
    parent_run_id: str,
    name: str,
    description: str,
    question: str,
    results: Sequence[RunResult],
    judged: Comparison,
    target: float | None = None,
    file: str = "report.html",
) -> StudyOutcome:
    """Compare the arms and write the report under var/reports as `file`, the study file beside it."""
    parent = connect().get_run(parent_run_id)
    pairs = compare_paired(results, judged.baseline, judged.delta)
    url = comparison_url(parent.info.experiment_id, [result.run_id for result in results])
    command = parent.data.tags.get("mlflow.source.name", "")
    path = home() / "reports" / f"{name}-{parent_run_id[:8]}" / file
    figures = {
        "Difference from the baseline": difference_picture(results, pairs),
        "Score against bytes": pareto_picture(results),
        "Response to heterogeneity": response_curve(results),
        "Every run": arm_outcomes(results),
        "On the way": arm_curves(results),
        "Generalisation gaps": gap_picture(results),
        **cost_figures(results),
    }
    pictures = {title: png(figure) for title, figure in figures.items() if figure is not None}
    links, needed = {"Comparison in MLflow": url}, costs(results, target)
    write_page(
        path, name, description, question, results, pictures, links, environment(), command, needed, pairs
    )
    path.with_name("study.yaml").write_text(question, encoding="utf-8")
    return StudyOutcome(
        study=name,
        parent_run_id=parent_run_id,
        results=tuple(results),
        arms=tuple(compare(results)),
        costs=needed,
        verdict=tuple(sentences(results, pairs)),
        report=path,
        url=url,
        pictures={f"{title.lower().replace(' ', '_')}.png": picture for title, picture in pictures.items()},
    )
