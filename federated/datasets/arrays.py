"""Ready arrays from a numpy archive, or from a folder of files of one array each."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from federated.datasets.wanted_file import check_file
from federated.examples.conversion import examples_of_arrays
from federated.examples.examples import Examples, bad_data
from federated.machine.large_arrays import Damaged, check_memory, mapped
from federated.metrics.tasks import TaskName, targets_of

ADDED_LATER: dict[str, Any] = {"weights": None, "padding": None}
"""Arguments, and their defaults, that older run keys do not know."""

_OPTIONAL = ("client_ids", "test", "classes")


def arrays(
    path: Path,
    inputs: str = "inputs",
    targets: str = "targets",
    client_ids: str | None = None,
    task: TaskName | None = None,
    weights: str | None = None,
    padding: int | str | None = None,
) -> Callable[[], Examples]:
    """The arrays of an .npz file, as `numpy.savez` writes it, or of a folder of .npy files.

    path: arrays of an .npz file are read into memory; those of a folder, such as `inputs.npy` and `targets.npy`, are
        mapped, so they may be larger than the memory.
    inputs: the name of an array [N, ...]. Unsigned bytes are images, scaled to [0, 1]; floats and booleans are
        features; every other whole number is a token, so store features that are whole numbers as floats.
    targets: the name of an array [N], or [N, outputs] for regression, or [N, length] for sequences.
    client_ids: the name of an array [N]; unless stated, the array "client_ids" if there is one.
    weights: the name of an array [N] of numbers >= 0, by which the loss of each example is multiplied in training; only
        their ratios matter.
    task: unless stated, text, boolean and integer targets are classification, floats are regression, and whole numbers
        or texts [N, length] sequences: a class at every position.
    padding: of sequences, the target of a position that does not count: in no loss and no measure. null: all count.

    An array "test", bool [N], is the data set's own test split; "classes" holds the names of the classes.
    Integer targets must be 0 ... C - 1, each with an example: an empty class is refused, not renumbered.
    """
    if not any(path.glob("*.npy")):
        check_file(path, "an .npz archive or a folder of .npy files is needed")

    def load() -> Examples:
        stated = {"inputs": inputs, "targets": targets} | ({"client_ids": client_ids} if client_ids else {})
        stated |= {"weights": weights} if weights else {}
        with _Folder(path) if path.is_dir() else _opened(path) as archive:
            for name in stated.values():
                if name not in archive.files:
                    has = ", ".join(archive.files) or "nothing"
                    raise bad_data("arrays", f"there is no array {name!r} in {path.name}; it has: {has}")
            implied = {name: name for name in _OPTIONAL if name in archive.files}
            _check_size(archive, path, {*implied, *stated.values()})
            found: dict[str, Any] = {
                field: _member(archive, name, path) for field, name in (implied | stated).items()
            }
        examples = examples_of_arrays(
            "arrays", **found, task=targets_of(task), source=str(path), padding=padding
        )
        return examples.as_stated(task)

    return load


class _Folder:
    """A folder of .npy files in the form of an archive."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.files = folder, sorted(file.stem for file in folder.glob("*.npy"))

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open: arrays that were mapped stay."""

    def __getitem__(self, name: str) -> np.ndarray:
        return mapped(self._folder / f"{name}.npy")


def _opened(path: Path) -> Any:
    """The archive; nothing in it is unpickled. What numpy says of a file that is none speaks of pickles."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        what = f"path {path} is not an .npz archive, or is damaged; it must be as numpy.savez writes it"
        raise bad_data("arrays", what) from error
    if isinstance(archive, np.ndarray):
        raise bad_data(
            "arrays", f"path {path} holds a single array; write inputs and targets together with numpy.savez"
        )
    return archive


def _check_size(archive: Any, path: Path, names: Collection[str]) -> None:
    """Raise BadInput where the arrays that are read do not fit in memory; those of a folder are mapped."""
    if isinstance(archive, np.lib.npyio.NpzFile) and archive.zip is not None:
        sizes = {entry.filename: entry.file_size for entry in archive.zip.infolist()}
        wanted = sum(sizes.get(f"{name}.npy", 0) for name in names)
        folder = path.with_suffix("").name
        instead = f"unpack it into a folder, which is mapped from disk: unzip {path.name} -d {folder}; path: {folder}"
        check_memory(f"{path.name}, which is read whole,", wanted, instead)


def _member(archive: Any, name: str, path: Path) -> np.ndarray:
    try:
        return np.asarray(archive[name])
    except Damaged as error:
        raise bad_data("arrays", f"{path}: {error}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise bad_data("arrays", f"{path} is damaged: the array {name!r} cannot be read: {error}") from error
    except ValueError as error:
        raise bad_data(
            "arrays",
            f"the array {name!r} in {path.name} cannot be read; save numbers or text, not objects (or it is damaged)",
        ) from error
