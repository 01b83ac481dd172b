"""The parent run of each study in MLflow, with the study file that it ran."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import yaml
from mlflow.entities import Run as MlflowRun

from federated.choices.choice import Choice
from federated.foundation.errors import BadInput
from federated.foundation.texts import listed
from federated.metrics.names import metric_label
from federated.networks import CLOCK_INPUTS
from federated.report import RunResult, on_network
from federated.report.findings.results import AT, within
from federated.report.versions.version import Version
from federated.study.further.bands import Bands
from federated.study.further.prices import Prices
from federated.tuning.found import ArmTuning, from_json
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.reading.naming import started, study_called
from tasks.tracking.reading.results import COMMIT
from tasks.tracking.reading.search import results_of_study, study_names
from tasks.tracking.server.store import connect, tracking_uri

STUDY_FILE, TUNING_FILE = "study.yaml", "tuning.json"
TUNED = "tuned"
"""The tag of studies whose arms chose values before they ran."""


@dataclass(frozen=True)
class Parent:
    """A study in MLflow. label: as it was asked for, `NAME` or `NAME@WHICH`. question: its study file, resolved."""

    label: str
    run: MlflowRun
    question: str

    @cached_property
    def stated(self) -> dict[str, Any]:
        """The study file as a dictionary."""
        content: dict[str, Any] = yaml.safe_load(self.question)
        return content

    @property
    def axes(self) -> list[str]:
        """The paths of its axes, in their order."""
        return list(self.stated.get("axes") or {})

    @property
    def left_out(self) -> list[str]:
        """The sites that it leaves out in turn, by name."""
        stated = self.stated.get("leave_one_out")
        return [str(site) for site in stated] if isinstance(stated, list) else []

    @property
    def bands(self) -> Bands:
        """The bands that it states for figures of its arms."""
        return self.stated.get("expect") or {}

    @property
    def prices(self) -> Prices | None:
        """The prices that it states."""
        stated = self.stated.get("prices")
        return None if stated is None else Prices.model_validate(stated)

    @property
    def description(self) -> str:
        """The question in a sentence or two."""
        return str(self.stated.get("description") or "").strip()

    @cached_property
    def environment(self) -> dict[str, str]:
        """The versions and the machine of the process that ran the study; {} if they were not recorded."""
        noted = text_of(self.run.info.run_id, "environment.json")
        if noted is None:
            return {}
        return {str(name): str(value) for name, value in json.loads(noted).items()}

    @cached_property
    def version(self) -> Version:
        """Its time and its code."""
        return Version(
            self.label,
            started(self.run),
            str(self.run.data.tags.get(COMMIT, "")),
            self.environment.get("git_uncommitted_changes") == "True",
            self.environment,
            TUNED in self.run.data.tags,
        )

    @property
    def command(self) -> str:
        """The command that ran it."""
        return str(self.run.data.tags.get("mlflow.source.name", ""))


def parent_of(run_id: str, question: str) -> Parent:
    """The parent run of this id."""
    run = connect().get_run(run_id)
    return Parent(run.data.tags["study"], run, question)


def parent_of_run(run_id: str) -> Parent:
    """The same, with the study file that MLflow holds. Raises BadInput where it does not."""
    run = connect().get_run(run_id)
    return Parent(run.data.tags["study"], run, _question(run.data.tags["study"], run))


def find_parents(names: Sequence[str]) -> list[Parent]:
    """The study that each name means. Raises BadInput for those that MLflow does not know, or whose file is gone."""
    if repeated := [name for at, name in enumerate(names) if name in names[:at]]:
        other = f"{repeated[0].partition(AT)[0]}@COMMIT, @ID or @DATE"
        raise BadInput(f"{repeated[0]!r} is named twice; {other} is another study of that name")
    found = {name: study_called(name) for name in names}
    if unknown := [name for name, run in found.items() if run is None]:
        known = listed(study_names()) or "none yet"
        which = " or ".join(repr(name) for name in unknown)
        raise BadInput(f"there is no study {which} in MLflow at {tracking_uri()}; known: {known}")
    parents = [Parent(name, run, _question(name, run)) for name, run in found.items() if run is not None]
    by_run: dict[str, list[str]] = {}
    for parent in parents:
        by_run.setdefault(parent.run.info.run_id, []).append(parent.label)
    if same := [labels for labels in by_run.values() if len(labels) > 1]:
        raise BadInput(
            f"{' and '.join(map(repr, same[0]))} are the same study in MLflow; name two different ones"
        )
    return parents


def tuned_arms(parent_run_id: str) -> list[ArmTuning]:
    """What the arms of a study tried and chose before they ran; [] where they did not."""
    text = text_of(parent_run_id, TUNING_FILE)
    return [] if text is None else from_json(text)


def results_below(
    parent: Parent, network: Choice | None = None, *, among_others: bool = False
) -> list[RunResult]:
    """The runs of a study, timed on `network` where one is given. Raises BadInput where it has none yet.

    among_others: name the study with every arm, `study: arm`.
    """
    more = CLOCK_INPUTS if network else ()
    results = results_of_study(parent.run.info.run_id, more, parent.axes, parent.left_out)
    if not results:
        raise BadInput(f"the study {parent.label!r} has no runs yet")
    results = on_network(results, network) if network else results
    if not among_others:
        return results
    return [
        replace(
            run,
            study=parent.label,
            arm=within(parent.label, run.arm),
            overrides={path: within(parent.label, label) for path, label in run.overrides.items()},
        )
        for run in results
    ]


def require_one_metric(results: Sequence[RunResult]) -> None:
    """Studies are laid side by side by their main metric; each alone may have several. Raises BadInput."""
    by_study: dict[str, set[str]] = {}
    for run in results:
        by_study.setdefault(run.study, set()).add(run.main_metric)
    if len({frozenset(metrics) for metrics in by_study.values()}) > 1:
        said = "; ".join(
            f"{study} by {' and '.join(sorted(metric_label(name) for name in metrics))}"
            for study, metrics in by_study.items()
        )
        raise BadInput(f"these studies are not judged by the same metric: {said}; compare them one at a time")


def _question(label: str, run: MlflowRun) -> str:
    """The study file of a run; raises BadInput where somebody deleted it from MLflow."""
    run_id = run.info.run_id
    question = text_of(run_id, STUDY_FILE)
    if question is None:
        raise BadInput(
            f"the run {run_id} of the study {label!r} has no {STUDY_FILE} among its artifacts in MLflow at "
            f"{tracking_uri()}, so its question is unknown; put the file back, or name another study as "
            f"{label.partition(AT)[0]}@COMMIT, @ID or @DATE"
        )
    return question
