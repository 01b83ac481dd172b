"""The place of a finished run in a study that did not train it: a tag of the run, one a study."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow.entities import Run as MlflowRun

from federated.study.study import Run
from tasks.tracking.reading.overrides import overrides_tag
from tasks.tracking.server.limits import tag_of

_TAKEN_AT = "taken_at"
_OVERRIDES = "overrides"

TAKERS: set[str] = set()
"""Parent runs of studies that took runs in this process."""


def place_tag(parent_run_id: str, run: Run, taken_at: int) -> dict[str, str]:
    """The tag that gives a finished run a place in a study. taken_at: milliseconds since 1970."""
    place = {"arm": run.arm, "order": str(run.order), _TAKEN_AT: str(taken_at)}
    text = json.dumps({**place, _OVERRIDES: overrides_tag(run.overrides).get(_OVERRIDES)})
    kept = text if tag_of(text) == text else json.dumps(place | {"arm": tag_of(run.arm)})
    return {_name(parent_run_id): kept}


def taken_by(parent_run_id: str) -> str:
    """The condition of a search for the runs that a study took."""
    return f"tags.`{_name(parent_run_id)}` != ''"


def takers(run: MlflowRun) -> list[str]:
    """The parent runs of the studies that took a run."""
    return [tag.removeprefix(_name("")) for tag in run.data.tags if tag.startswith(_name(""))]


def is_taken(run: MlflowRun) -> bool:
    """Whether a run, as `in_its_place` returns it, was trained in another study."""
    return _TAKEN_AT in run.data.tags


def since(run: MlflowRun) -> int:
    """When the run began or was taken, in milliseconds since 1970."""
    return int(run.data.tags.get(_TAKEN_AT, run.info.start_time))


def in_its_place(run: MlflowRun, parent_run_id: str) -> MlflowRun:
    """The run with the arm, the order and the overrides that it has in a study that took it."""
    place: Mapping[str, str | None] = json.loads(run.data.tags[_name(parent_run_id)])
    for name, value in place.items():
        run.data.tags.pop(name, None)
        if value is not None:
            run.data.tags[name] = value
    return run


def _name(parent_run_id: str) -> str:
    return f"taken_by.{parent_run_id}"
