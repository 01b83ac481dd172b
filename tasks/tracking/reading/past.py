"""Every study of a name in MLflow with its runs, read in one search: for the history of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy

from mlflow.entities import Run as MlflowRun

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed
from federated.report.versions.history import History, PastStudy
from federated.study.names import study_name
from federated.study.tuning.tuned import tuned_of
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.reading.places import in_its_place, takers
from tasks.tracking.reading.search import last_values, runs_named, standing_runs, studies_named, study_names
from tasks.tracking.reading.studies import STUDY_FILE, Parent
from tasks.tracking.server.store import run_url, tracking_uri

MOST_STUDIES = 400
"""That a history shows: more dates have no room, and each has two files to be read."""


def history_of(name: str) -> tuple[History, str]:
    """(the studies of a name, oldest first, the question of the newest). Raises BadInput where there is none."""
    name = study_name(name)
    found = list(studies_named(name))
    if not found:
        known = listed(study_names()) or "none yet"
        raise BadInput(f"there is no study {name!r} in MLflow at {tracking_uri()}; known: {known}")
    newest = found[:MOST_STUDIES]
    below = _below([run.info.run_id for run in newest], runs_named(name))
    parents = [_parent(name, run) for run in reversed(newest)]
    studies = [_past(parent, below[parent.run.info.run_id]) for parent in parents]
    return History(name, studies, left_out=len(found) - len(newest)), parents[-1].description


def _below(parents: Sequence[str], runs: Iterable[MlflowRun]) -> dict[str, list[MlflowRun]]:
    """Id of each parent -> its runs, in the study's order, those that it took from others too."""
    found: dict[str, list[MlflowRun]] = {parent: [] for parent in parents}
    for run in runs:
        for taker in takers(run):
            if taker in found:
                found[taker].append(in_its_place(deepcopy(run), taker))
        own = run.data.tags.get("mlflow.parentRunId", "")
        if own in found:
            found[own].append(run)
    return {parent: standing_runs(children) for parent, children in found.items()}


def _parent(name: str, run: MlflowRun) -> Parent:
    """The parent with its study file; with an empty one where somebody deleted that."""
    return Parent(name, run, text_of(run.info.run_id, STUDY_FILE) or "{}")


def _past(parent: Parent, runs: Sequence[MlflowRun]) -> PastStudy:
    tags: Mapping[str, str] = parent.run.data.tags
    info = parent.run.info
    return PastStudy(
        version=parent.version,
        run_id=info.run_id,
        results=last_values(runs),
        arm_keys=_arm_keys(parent, runs),
        expect=parent.bands,
        bands=tags.get("bands", ""),
        missed=tags.get("bands.missed", "").splitlines(),
        status=info.status,
        address=run_url(info.experiment_id, info.run_id),
        tuned=_is_tuned(parent, runs),
    )


def _is_tuned(parent: Parent, runs: Sequence[MlflowRun]) -> bool:
    """Whether its arms chose values first; of older studies by an arm that ran as it was stated besides."""
    return parent.version.tuned or any(tuned_of(run.data.tags["arm"]) for run in runs)


def _arm_keys(parent: Parent, runs: Sequence[MlflowRun]) -> dict[str, str]:
    """What is equal for arms of the same settings; an arm that chose them is another than one that has them stated."""
    by_arm = {run.data.tags["arm"]: run.data.tags.get("arm_key", "") for run in runs}
    if not _is_tuned(parent, runs):
        return by_arm
    return {arm: key if tuned_of(arm) else f"tuned {key}" for arm, key in by_arm.items()}
