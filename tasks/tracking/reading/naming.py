"""The study that a name means: NAME is the newest, NAME@WHICH the newest of a commit or a day, or that of an id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from mlflow.entities import Run as MlflowRun

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed, quoted
from federated.report.findings.results import AT
from federated.report.versions.version import short, when
from federated.study.names import study_name
from tasks.tracking.reading.results import COMMIT
from tasks.tracking.reading.search import studies_named

_DATE = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d)?)?)?")
_MOST_NAMED = 12
_DIGITS = 8
"""Of an id, in messages."""


def study_called(name: str) -> MlflowRun | None:
    """The parent run of the study that `NAME` or `NAME@WHICH` means; None where no study is called NAME.

    WHICH: the beginning of a commit or of the parent run's id, or a date such as 2026-11-28 in the time zone of this
    machine. Raises BadInput where no study of that name is meant by it, or several commits or ids are.
    """
    plain, at, which = study_name(name).partition(AT)
    if not at:
        return next(studies_named(plain), None)
    studies = list(studies_named(plain))
    return _chosen(plain, which.strip(), studies) if studies else None


def started(run: MlflowRun) -> datetime:
    """When a run began, in the time zone of this machine."""
    return datetime.fromtimestamp(run.info.start_time / 1000).astimezone()


def _chosen(name: str, which: str, studies: Sequence[MlflowRun]) -> MlflowRun:
    """The newest of the studies that `which` means. studies: newest first."""
    if _DATE.fullmatch(which):
        matching = [run for run in studies if when(started(run)).startswith(which.replace("T", " "))]
        return matching[0] if matching else _refuse(name, which, studies)
    of_commit = {run.info.run_id: _commit(run) for run in studies if _commit(run).startswith(which.lower())}
    meant = [run for run in studies if run.info.run_id in of_commit or run.info.run_id.startswith(which)]
    if not which or not meant:
        _refuse(name, which, studies)
    if len({of_commit.get(run.info.run_id, run.info.run_id) for run in meant}) > 1:
        raise BadInput(f"{name}@{which} may be any of: {_named(meant)}; write more of the commit or id")
    return meant[0]


def _refuse(name: str, which: str, studies: Sequence[MlflowRun]) -> MlflowRun:
    raise BadInput(
        f"there is no study {name!r} of {quoted(which)}, which must be the beginning of a commit or of an id, or a "
        f"date; there are: {_named(studies)}"
    )


def _named(studies: Sequence[MlflowRun]) -> str:
    """`2026-11-28 14:02 (commit abc123def, id 0123abcd), ...`."""
    return listed(
        (
            f"{when(started(run))} ({f'commit {short(_commit(run))}' if _commit(run) else 'no commit'}, "
            f"id {run.info.run_id[:_DIGITS]})"
            for run in studies
        ),
        _MOST_NAMED,
    )


def _commit(run: MlflowRun) -> str:
    return str(run.data.tags.get(COMMIT, ""))
