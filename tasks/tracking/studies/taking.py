"""Finished runs of earlier studies of the same name, which a resumed study takes instead of training them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mlflow.entities import Run as MlflowRun

from federated.report.text.phrases import counted
from federated.study.study import Run
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import address, now, send_first
from tasks.tracking.reading.places import TAKERS, place_tag, takers
from tasks.tracking.reading.search import finished_in_experiment
from tasks.tracking.server.failures import answered
from tasks.tracking.studies.same_training import is_the_same


def take_finished(parent_run_id: str, study: str, wanted: Sequence[Run]) -> list[Run]:
    """Give the study those of the wanted runs that another study of this name has finished, and return them.

    A run is found by its config, network and attacks included, on the same data and code as now; it stays what it is,
    and where it is, in the other study, and has one place in this one. Raises BadInput where MLflow is away, which
    alone knows.
    """
    if not wanted:
        return []
    by_key = defaultdict[str, list[MlflowRun]](list)
    with answered(address()):
        for before in finished_in_experiment(parent_run_id):
            if parent_run_id not in (before.data.tags.get("mlflow.parentRunId"), *takers(before)):
                by_key[before.data.tags.get("run_key", "")].append(before)
    taken = list[tuple[Run, MlflowRun]]()
    for run in wanted:
        there = by_key[run.config.run_key()]
        if (found := _newest_same(there, run)) is not None:
            there.remove(found)
            taken.append((run, found))
    if taken:
        TAKERS.add(parent_run_id)
    for run, found in taken:
        send_first("tags", found.info.run_id, tags=place_tag(parent_run_id, run, now()))
    if taken:
        several = len(taken) > 1
        show(
            f"{counted(len(taken), 'run')} of {study} finished in an earlier study of this name: "
            f"{'they are' if several else 'it is'} taken from there and not run again"
        )
    return [run for run, _ in taken]


def _newest_same(candidates: Sequence[MlflowRun], run: Run) -> MlflowRun | None:
    key = run.config.arm_key()
    timed_alike = (before for before in candidates if before.data.tags.get("arm_key", key) == key)
    return next((before for before in timed_alike if is_the_same(before, run)), None)
