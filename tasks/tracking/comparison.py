"""The end of a study: its arms compared, in MLflow and in one page on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow.artifacts
import yaml
from pydantic import ValidationError

from federated.choice import Choice
from federated.errors import BadInput, readable
from federated.home import home
from federated.networks import CLOCK_INPUTS
from federated.report import Report, RunResult, as_files, drawn, on_network, table, write_page
from federated.report.paired import paired_table
from federated.study import Comparison, StudyConfig
from tasks.tracking import runs
from tasks.tracking.environment import environment
from tasks.tracking.forecasts import forecast_and_fact
from tasks.tracking.search import newest_study, results_of_study, study_names
from tasks.tracking.store import comparison_url, connect, tracking_uri

_LONGEST_TAG = 5000
_LONGEST_NAME = 150


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to: the run that stands for it, what was found, and where to look.

    report: the page on disk. url: of the comparison in MLflow. pictures: title -> PNG.
    """

    parent_run_id: str
    found: Report
    report: Path
    url: str
    pictures: dict[str, bytes]

    @property
    def results(self) -> Sequence[RunResult]:
        """Every run, in the study's order."""
        return self.found.results


def conclude(parent_run_id: str, study: StudyConfig, results: Sequence[RunResult]) -> StudyOutcome:
    """Compare the arms and log tables, plots, report and the verdict on the study's parent run."""
    report = _report(parent_run_id, study.name, study.description, runs.as_yaml(study), results)
    report = replace(report, baseline=study.comparison.baseline, delta=study.comparison.delta)
    outcome = _written(parent_run_id, report)
    client = connect()
    client.log_table(parent_run_id, table(report.arms), "comparison.json")
    client.log_table(parent_run_id, report.costs.table, "to_target.json")
    if report.pairs:
        client.log_table(parent_run_id, paired_table(report.pairs), "paired.json")
    runs.log_files(parent_run_id, {"report.html": outcome.report.read_bytes(), **as_files(outcome.pictures)})
    runs.set_tags(parent_run_id, {"verdict": "\n".join(report.verdict)[:_LONGEST_TAG]})
    for result in results:
        if result.arm in report.places:
            runs.set_tags(result.run_id, {"pareto": report.places[result.arm]})
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
    judged = _judged(yaml.safe_load(question).get("comparison", {}), baseline, delta)
    report = _report(parent_run_id, name, description, question, results)
    asked = {"network": network and network.label(), "target": target, "baseline": baseline, "delta": delta}
    report = replace(report, baseline=judged.baseline, delta=judged.delta, target=target)
    return _written(parent_run_id, report, file_name(asked))


def _judged(stated: dict[str, Any], baseline: str | None, delta: float | None) -> Comparison:
    """How arms are judged: as stated, unless the command says otherwise. Raises BadInput."""
    wanted = {
        name: value for name, value in {"baseline": baseline, "delta": delta}.items() if value is not None
    }
    try:
        return Comparison.model_validate({**stated, **wanted})
    except ValidationError as error:
        raise BadInput(readable(error)) from error


def file_name(asked: Mapping[str, object]) -> str:
    """The name of a report that answers a question: `report-network-4g-target-0.8.html`; nothing asked: `report.html`.

    What a file name cannot hold becomes a dash; what makes it too long, a digest.
    """
    told = "-".join(f"{option}-{value}" for option, value in asked.items() if value is not None)
    plain = re.sub(r"[^\w.=]+", "-", told).strip("-")
    if len(plain) > _LONGEST_NAME:
        plain = f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    return "-".join(["report", *([plain] if plain else [])]) + ".html"


def _report(
    parent_run_id: str, name: str, description: str, question: str, results: Sequence[RunResult]
) -> Report:
    """The report of one run of a study, judged as by default."""
    parent = connect().get_run(parent_run_id)
    url = comparison_url(parent.info.experiment_id, [result.run_id for result in results])
    return Report(
        name=name,
        results=tuple(results),
        description=description,
        question=question,
        links={"Comparison in MLflow": url},
        environment=environment(),
        stated_command=parent.data.tags.get("mlflow.source.name", ""),
        foreseen=forecast_and_fact(parent_run_id, results),
    )


def _written(parent_run_id: str, report: Report, file: str = "report.html") -> StudyOutcome:
    """The report under var/reports as `file`, the study file beside it."""
    path = home() / "reports" / f"{report.name}-{parent_run_id[:8]}" / file
    pictures = drawn(report)
    write_page(path, report, pictures)
    path.with_name("study.yaml").write_text(report.question, encoding="utf-8")
    return StudyOutcome(parent_run_id, report, path, report.links["Comparison in MLflow"], pictures)
