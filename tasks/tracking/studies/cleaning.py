"""Files and runs at home that can go: listed by kind, and removed only where that is asked for."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from federated.foundation.errors import BadInput
from federated.local_training.trunk.passes import FOLDER
from federated.machine.files import changed_at
from federated.machine.folders import bytes_below, home
from federated.machine.kept import DATASETS, forget, unused
from tasks.checkpoints import old_checkpoints
from tasks.tracking.models.folder import FROZEN
from tasks.tracking.models.program import PROGRAMS
from tasks.tracking.server.access import require_store
from tasks.tracking.server.bin import above_runs, deleted_runs, files_without_run, is_embedded, remove_runs
from tasks.tracking.server.processes import others_live

_SECONDS_A_DAY = 86_400
_MOST_DAYS = 100_000
_KEPT = {
    "data sets as they were read": DATASETS,
    "features of frozen parts": FOLDER,
    "exported programs": PROGRAMS,
}
"""What is made again when it is needed -> where it is kept at home."""


class Removable(NamedTuple):
    """Things of one kind that can go. remove: removes them; None where it is not asked for."""

    kind: str
    paths: Sequence[Path]
    number: int
    size: int
    remove: Callable[[], None] | None


def removable(days: float, *, checkpoints: bool) -> list[Removable]:
    """Everything that was not used for so many days, by kind; kinds of which there is nothing are left out.

    checkpoints: whether those of unfinished runs go too, after which `--resume` begins these afresh. Trials of a study
    that was interrupted while it tuned are made again too. Raises BadInput.
    """
    if not 0 <= days <= _MOST_DAYS:
        raise BadInput(f"unused-for: {days:g} must be from 0 to {_MOST_DAYS:,} days")
    since = time.time() - days * _SECONDS_A_DAY
    found = [_of_paths(kind, unused(below, since), partial(_forget, since)) for kind, below in _KEPT.items()]
    of_runs = _of_paths("checkpoints of unfinished runs", old_checkpoints(since), _unlink)
    found.append(of_runs if checkpoints else of_runs._replace(remove=None))
    found.append(_of_paths("trials of tuned studies", _old_trials(since), _unlink))
    if is_embedded():
        require_store()
        deleted, above = deleted_runs(since), above_runs()
        deleted = {run: at for run, at in deleted.items() if run not in above or not _is_shared(at)}
        folders = [folder for folder in deleted.values() if folder is not None and folder.is_dir()]
        in_bin = _of_paths("runs in MLflow's bin", folders, partial(_empty, list(deleted)))
        found += [in_bin._replace(number=len(deleted))]
        found += [_of_paths("files of runs that MLflow no longer has", files_without_run(since), _rmtree)]
    return [each for each in found if each.number]


def _old_trials(since: float) -> list[Path]:
    """The files of trials that were last written before that time, with their locks."""
    logs = [file for file in (home() / "tuning").glob("*.log") if changed_at(file) < since]
    return sorted([*logs, *(held for log in logs if (held := log.with_suffix(".held")).is_file())])


def remove(found: Sequence[Removable]) -> None:
    """Remove what was found. Raises BadInput while another process uses this home, and where the system forbids it."""
    if others_live():
        raise BadInput(f"another process uses {home()}: a study that runs, say; clean when it has ended")
    for each in found:
        try:
            if each.remove is not None:
                each.remove()
        except OSError as error:
            raise BadInput(f"{each.kind}: cannot remove {error.filename}: {error.strerror}") from error


def _of_paths(kind: str, paths: Sequence[Path], remove: Callable[[Sequence[Path]], None]) -> Removable:
    return Removable(kind, paths, len(paths), sum(map(bytes_below, paths)), partial(remove, paths))


def _forget(since: float, folders: Sequence[Path]) -> None:
    for folder in folders:
        forget(folder, since)


def _unlink(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _is_shared(folder: Path | None) -> bool:
    """Whether a study's folder holds the frozen parts of the models of all runs below it."""
    return folder is not None and (folder / "artifacts" / FROZEN).is_dir()


def _rmtree(folders: Sequence[Path]) -> None:
    """Of a link, which somebody has put in the place of a large folder, the link alone."""
    for folder in folders:
        with suppress(FileNotFoundError):
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)


def _empty(runs: Sequence[str], folders: Sequence[Path]) -> None:
    """The files first: what is left where this is interrupted is still in the bin."""
    _rmtree(folders)
    remove_runs(runs)
