"""The claim of a process on a run of a study: one trains it at a time, here or on another machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from federated.foundation.errors import BadInput
from federated.machine.files import alone
from federated.machine.folders import home, shared_folder
from federated.study.study import Run
from tasks.tracking.delivery.messages import show
from tasks.tracking.server.processes import is_dead, lives, this_process

_TRIES = 5


class RunIsTaken(BadInput):
    """Another process trains the run."""


class _Holder(NamedTuple):
    """process: as `is_dead` knows it. machine: its name, for people."""

    process: str
    machine: str


def claimed(run: Run, parent_run_id: str | None) -> AbstractContextManager[None]:
    """Have a run of a study for this process alone while the block runs. Raises RunIsTaken where another one has it.

    A claim whose process is dead, or cannot be known, is taken over. Where none can be written, as on a full disk, the
    run is trained without one, which is said. parent_run_id: the study's run in MLflow; runs of no study are never
    shared.
    """
    return nullcontext() if parent_run_id is None else _claimed(_path(run, parent_run_id), run.name)


def claimant(run: Run, parent_run_id: str) -> str:
    """The process whose claim a run has, dead or alive; "" where it has none, or none that can be read."""
    try:
        holder = _holder(_path(run, parent_run_id))
    except OSError:  # the shared folder is away
        return ""
    return "" if holder is None else holder.process


def is_abandoned(run: Run, parent_run_id: str, before: str = "") -> bool:
    """Whether the process that trained a run is known to be dead, such as that of a machine that is gone.

    before: the claimant of an earlier try. Its claim stays until the next one takes the run, and says nothing of that.
    """
    found = claimant(run, parent_run_id)
    return found != before and is_dead(found)


@contextmanager
def _claimed(path: Path, name: str) -> Iterator[None]:
    mine = _Holder(this_process(), platform.node())
    try:
        _take(path, mine, name)
    except OSError as error:
        show(
            f"{name} is not kept from other processes, as its claim {path} cannot be written: {error.strerror}"
        )
    try:
        yield
    finally:
        with suppress(OSError):  # a claim that stays is that of a dead process
            if _holder(path) == mine:
                path.unlink()


def _take(path: Path, mine: _Holder, name: str) -> None:
    for _ in range(_TRIES):
        if _is_new(path, mine):
            return
        holder = _holder(path)
        if holder is None:
            continue
        if holder == mine:
            return
        if lives(holder.process):
            raise _taken(name, holder)
        _remove(path, holder)
    raise RunIsTaken(f"{name} was claimed by others again and again; start it again")


def _taken(name: str, holder: _Holder) -> RunIsTaken:
    return RunIsTaken(
        f"{name} is trained by another process, on {holder.machine}; `--resume` takes it once that ends"
    )


def _is_new(path: Path, mine: _Holder) -> bool:
    """Make the claim, whole or not at all; whether there was none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        written.write_text("\n".join(mine), encoding="utf-8")
        os.link(written, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links, such as exFAT and some shares
        return _is_first(path, mine)
    finally:
        written.unlink(missing_ok=True)
    return True


def _is_first(path: Path, mine: _Holder) -> bool:
    """As `_is_new`; who reads the claim while it is written takes it for that of a dead process."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(mine))
    except FileExistsError:
        return False
    return True


def _remove(path: Path, dead: _Holder) -> None:
    """Remove the claim of a dead process, and not one that somebody has made in its place meanwhile.

    One process at a time does so. Where there are no locks, what was wrongly moved is moved back at once.
    """
    aside = path.with_name(f"{path.name}.{uuid4().hex}")
    with alone(path.parent.with_name("claims.lock")):
        if _holder(path) != dead:
            return
        try:
            path.rename(aside)
        except FileNotFoundError:
            return
        if _holder(aside) != dead:
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink()


def _holder(path: Path) -> _Holder | None:
    try:
        process, _, machine = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    except FileNotFoundError:
        return None
    return _Holder(process, machine)


def _path(run: Run, parent_run_id: str) -> Path:
    return (shared_folder() or home()) / "claims" / f"{parent_run_id}-{run.order}"
