"""The creation of runs in MLflow, each once, even if the answer to a request is lost.

MLflow's client repeats a request that gets no answer, and a run created by the first request would remain as a ghost.
So each run is created under a unique name, a request is sent once, and the run is looked up before the next request.
"""

from __future__ import annotations

from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from tasks.tracking.fewer_requests.run_places import Place, note
from tasks.tracking.server.failures import is_away, refusal
from tasks.tracking.server.store import is_sqlite

_OWN_NAME = "fedstudy.run"
_CREATE = "/api/2.0/mlflow/runs/create"
_TRIES = 4


class NewRun(NamedTuple):
    """The initial content of a run. own_name: unique to it. start_time: milliseconds since 1970."""

    experiment: str
    own_name: str
    name: str
    start_time: int
    tags: dict[str, str]


_MADE_AT_ONCE: set[str] = set()
"""Ids of runs that this process made by its first request, whose answer it heard: they have no twin, and hold nothing
but what this process sends."""


def is_made_at_once(run_id: str) -> bool:
    """Whether this process made a run, and knows that MLflow has it once."""
    return run_id in _MADE_AT_ONCE


def others_may_deliver(run_id: str) -> None:
    """Records of a run are in the journal, from which another process may deliver them."""
    _MADE_AT_ONCE.discard(run_id)


def create_once(client: MlflowClient, wanted: NewRun, again: bool) -> str:
    """MLflow's id of the run, which is made unless it was. Raises what MLflow raises.

    again: it may have been made before.
    """
    if again and (found := _named(client, wanted.experiment, wanted.own_name)):
        return str(found[0].info.run_id)
    for left in reversed(range(_TRIES)):
        try:
            run_id = _make(client, wanted)
        except Exception as error:
            if not is_away(error) or refusal(error) is not None:
                raise
            if found := _named(client, wanted.experiment, wanted.own_name):
                return str(found[0].info.run_id)
            if not left:
                raise
        else:
            if left == _TRIES - 1 and not again:
                _MADE_AT_ONCE.add(run_id)
            return run_id
    raise AssertionError


def _make(client: MlflowClient, wanted: NewRun) -> str:
    tags = {**wanted.tags, _OWN_NAME: wanted.own_name}
    if not client.tracking_uri.startswith(("http://", "https://")):
        made = client.create_run(wanted.experiment, wanted.start_time, tags, run_name=wanted.name)
        return str(made.info.run_id)
    content = {
        "experiment_id": wanted.experiment,
        "user_id": tags.get("mlflow.user", "unknown"),  # as the client has it
        "run_name": wanted.name,
        "start_time": wanted.start_time,
        "tags": [{"key": name, "value": value} for name, value in tags.items()],
    }
    credentials = get_default_host_creds(client.tracking_uri)  # type: ignore[no-untyped-call]
    answer = http_request(credentials, _CREATE, "POST", json=content, max_retries=0)  # type: ignore[no-untyped-call]
    verified = verify_rest_response(answer, _CREATE)
    made = verified.json()["run"]["info"]
    note(client, made["run_id"], Place(str(made["experiment_id"]), str(made["artifact_uri"])))
    return str(made["run_id"])


def _named(client: MlflowClient, experiment: str, own_name: str) -> list[MlflowRun]:
    """Runs of this name, the one that has ended first."""
    found = client.search_runs([experiment], f"tags.`{_OWN_NAME}` = '{own_name}'")
    return sorted(found, key=standing, reverse=True)


def standing(run: MlflowRun) -> tuple[bool, int]:
    """Sorts twins: the one that is finished, or else has more in it, stands for the run."""
    return run.info.status == "FINISHED", len(run.data.metrics)


def drop_duplicates(client: MlflowClient, run_id: str) -> None:
    """Delete what a lost answer left beside a run: one of the same name, with nothing in it.

    A request may be carried out after the run was looked for. SQLite answers within this process: no answer is lost.
    """
    if is_sqlite(client.tracking_uri) or is_made_at_once(run_id):
        return
    run = client.get_run(run_id)
    if (own_name := run.data.tags.get(_OWN_NAME)) is None:
        return  # of an older version
    for twin in _named(client, run.info.experiment_id, own_name):
        if twin.info.run_id != run.info.run_id and not twin.data.metrics and not twin.data.params:
            client.delete_run(twin.info.run_id)
