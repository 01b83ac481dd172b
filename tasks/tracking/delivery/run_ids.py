"""Identities of runs before MLflow assigns an id; records in a journal refer to these."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from federated.machine.files import whole

_LOCAL = "local-"
_KNOWN: dict[str, str] = {}


def new() -> str:
    """A local name for a run that MLflow does not have yet."""
    return f"{_LOCAL}{uuid4().hex}"


def known(run: str, folder: Path) -> str:
    """MLflow's id of a run; its local name if MLflow does not have it yet. folder: of the journal."""
    if not run.startswith(_LOCAL):
        return run
    file = folder / "ids" / run
    if run not in _KNOWN and file.exists() and (noted := file.read_text(encoding="ascii")):
        _KNOWN[run] = noted
    return _KNOWN.get(run, run)


def is_known(run: str, folder: Path) -> bool:
    """Whether MLflow has assigned an id to the run."""
    return not known(run, folder).startswith(_LOCAL)


def note(run: str, run_id: str, folder: Path | None) -> None:
    """MLflow has given the run its id. folder: of the journal, where other processes may ask for it."""
    _KNOWN[run] = run_id
    if folder is not None:
        with whole(folder / "ids" / run) as file:
            file.write_text(run_id, encoding="ascii")
