"""Recordings of sensors, cut into windows."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.datasets.download import fetch
from federated.examples.examples import Examples, bad_data
from federated.foundation.texts import listed, meant
from federated.machine.large_arrays import check_memory
from federated.machine.memory import machine_mb
from federated.preprocessing.preprocessing import Fitted, Preprocessing
from federated.preprocessing.raw_arrays import inputs_of_signals

_MOST_BYTES = 4 * 10**9
"""What a .zip may unpack to; a small one could name any size."""

_bad = partial(bad_data, "windows")


def windows(
    path: Path,
    signals: tuple[str, ...],
    target: str,
    client: str | None = None,
    files: str = "*.csv",
    length: int = 128,
    download: str | None = None,
) -> Callable[[], Examples]:
    """Windows [N, signals, length] of recordings of sensors, one CSV file each, their clients from the files' names.

    path: a folder of recordings or a .zip of one; every file in it or below whose path matches `files` is a recording,
        in the order of their paths.
    signals: the columns that are measured, in this order. target: the column with the label of every sample.
    client: a regular expression whose first group, searched in a file's path, is its client, such as (s[0-9]+)_.
    files: a pattern as of the shell, in which * also stands for folders.
    length: samples a window. The samples are taken as evenly spaced; columns of time are not looked at.
    download: an address from which the .zip is fetched, once, where there is no `path`.

    What `holdout.by` and partitioners may look at: `recording`, the file, and `window`, its number there, from 0.

    Windows do not overlap, as a sample in two windows would be on both sides of a split; what is left at a recording's
    end is dropped. Still, two neighbouring windows are more alike than two recordings: hold out whole recordings
    (`holdout.by: groups(recording)`) or clients to know what the model does for new ones. A window's class is the label
    of most of its samples (of as many, the first in the alphabet); classes in the order of the alphabet. Each signal is
    standardised with the mean and standard deviation of the training windows (one that is constant there becomes 0).
    """
    if not signals:
        raise ValueError("signals must name at least one column")
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    if download and path.suffix != ".zip":
        raise ValueError(f"path {path} must end in .zip where it is to be downloaded")
    if not download and not (path.is_dir() or path.is_file()):
        raise ValueError(
            f"path {path} is neither a folder nor a .zip file; recordings as CSV files are needed"
        )
    pattern = _pattern(client)

    def load() -> Examples:
        if download and not path.exists():
            fetch(download, path, "windows")
        _check_memory(path, files, signals)
        cut = [_cut(name, table, target, signals, length) for name, table in _recordings(path, files)]
        if not sum(len(each.labels) for each in cut):
            raise _bad(
                f"no file in {path} that matches {files!r} has {length} samples; found {len(cut)} files"
            )
        classes = sorted({str(label) for each in cut for label in each.labels})
        if len(classes) < 2:
            raise _bad(f"all windows are {classes[0]!r}; at least 2 classes are needed")
        number_of = {label: number for number, label in enumerate(classes)}
        inputs = np.concatenate([each.inputs for each in cut])
        return Examples(
            "windows",
            inputs,
            np.array([number_of[label] for each in cut for label in each.labels], np.int64),
            tuple(classes),
            client_ids=None if pattern is None else np.array(_clients(cut, pattern)),
            properties=_places(cut),
            fit=partial(_standardised, inputs),
            source=str(path),
        )

    return load


class _Cut(NamedTuple):
    """One recording: inputs float32 [n, signals, length] and the label of each window."""

    name: str
    inputs: np.ndarray
    labels: list[str]


def _places(cut: Sequence[_Cut]) -> pd.DataFrame:
    """The recording of each window, and its number there."""
    counts = [len(each.labels) for each in cut]
    return pd.DataFrame(
        {
            "recording": np.repeat(np.array([each.name for each in cut], object), counts),
            "window": np.concatenate([np.arange(count) for count in counts]),
        }
    )


def _pattern(client: str | None) -> re.Pattern[str] | None:
    try:
        pattern = None if client is None else re.compile(client)
    except re.error as error:
        raise ValueError(f"client {client!r} is not a regular expression: {error}") from error
    if pattern is not None and pattern.groups < 1:
        raise ValueError(
            f"client {client!r} has no group; write one around the client's name, as in (s[0-9]+)_"
        )
    return pattern


def _clients(cut: list[_Cut], pattern: re.Pattern[str]) -> list[str]:
    """The client of every window. Raises BadInput for a file whose path does not tell."""
    matches = {each.name: pattern.search(each.name) for each in cut}
    found = {name: match[1] if match else None for name, match in matches.items()}
    if strange := [name for name, client in found.items() if not client]:  # a group may be optional, or empty
        raise _bad(f"client {pattern.pattern!r} is not found in {strange[0]!r}; narrow `files`, or widen it")
    return [str(found[each.name]) for each in cut for _ in each.labels]


def _recordings(path: Path, files: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """(path below `path`, table) of every recording, in the order of the paths."""
    if path.is_dir():
        yield from ((name, _table(name, path / name)) for name in _names_of_files(path, files))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [
                each for each in archive.infolist() if not each.is_dir() and fnmatch(each.filename, files)
            ]
            _check_packing(path, entries)
            _check_size(path, sum(each.file_size for each in entries))
            for entry in sorted(entries, key=lambda each: each.filename):
                with archive.open(entry) as file:  # more than was said is not unpacked, whatever it holds
                    content = file.read(entry.file_size)
                yield entry.filename, _table(entry.filename, io.BytesIO(content))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise _bad(f"{path} is not a .zip file, or is damaged: {error}") from error


def _check_packing(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Python unpacks bzip2 and LZMA without a limit, whatever size an entry says that it has."""
    if other := [
        e.filename for e in entries if e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    ]:
        raise _bad(
            f"{other[0]} in {path} is packed by another method than deflate, which is what zip uses unless told; "
            "pack it so, or unpack it into a folder"
        )


def _names_of_files(folder: Path, files: str) -> list[str]:
    """The files below a folder that match, by their path in it, sorted."""
    below = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return [name for name in below if fnmatch(name, files)]


def _check_memory(path: Path, files: str, signals: tuple[str, ...]) -> None:
    """Raise BadInput where the windows do not fit in memory, by the share of numbers in the first recording.

    They are there twice: as they were measured, and standardised. A .zip is smaller than `_MOST_BYTES`.
    """
    if not path.is_dir():
        return
    sizes = {path / name: (path / name).stat().st_size for name in _names_of_files(path, files)}
    if (
        8 * sum(sizes.values()) <= machine_mb() * 1e6
    ):  # a number of one digit and a comma become two of 4 bytes
        return
    first = next(iter(sizes))
    share = 4 * len(signals) * len(_table(first.name, first)) / max(sizes[first], 1)
    check_memory(
        f"the recordings in {path.name}, which are read whole,",
        2 * share * sum(sizes.values()),
        "narrow `files`, or cut them into windows once, save them as .npy files in a folder and use `arrays`",
    )


def _check_size(path: Path, size: int) -> None:
    if size > _MOST_BYTES:
        raise _bad(
            f"the recordings in {path} unpack to {size / 1e9:,.1f} GB, more than {_MOST_BYTES / 1e9:,.1f}; "
            "unpack them into a folder, or narrow `files`"
        )


def _table(name: str, source: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(source)
    except (ValueError, OSError) as error:
        raise _bad(f"{name} cannot be read as CSV: {error}") from error


def _cut(name: str, table: pd.DataFrame, target: str, signals: tuple[str, ...], length: int) -> _Cut:
    for column in (target, *signals):
        if column not in table.columns:
            raise _bad(
                f"there is no column {column!r} in {name}; {meant(column, map(str, table.columns))}it has: "
                f"{listed(table.columns)}"
            )
        if len(gaps := np.flatnonzero(table[column].isna())):
            raise _bad(f"the column {column!r} of {name} is missing in row {gaps[0] + 1}")
    try:
        with np.errstate(over="ignore"):  # what float32 does not hold is found below
            values = table[list(signals)].to_numpy(np.float32)
    except ValueError as error:
        raise _bad(f"{name}: a signal is not numeric: {error}") from error
    if len(rows := np.argwhere(~np.isfinite(values))):
        row, signal = rows[0]
        raise _bad(f"the column {signals[signal]!r} of {name} is not a finite float32 in row {row + 1}")
    count = len(table) // length
    inputs = values[: count * length].reshape(count, length, len(signals)).transpose(0, 2, 1)
    labels = _names(table[target])[: count * length].reshape(count, length)
    return _Cut(name, np.ascontiguousarray(inputs), [_majority(window) for window in labels])


def _names(labels: pd.Series) -> np.ndarray:
    """Labels as text, whole numbers without a point: whether pandas writes one depends on a column's other rows."""
    names: np.ndarray = labels.astype(str).to_numpy(object)
    if labels.dtype.kind == "f":
        whole = ((labels % 1 == 0) & (labels.abs() < 2**53)).to_numpy()
        names[whole] = labels[whole].astype(np.int64).astype(str)
    return names


def _majority(labels: np.ndarray) -> str:
    values, counts = np.unique(labels.astype(str), return_counts=True)
    return str(values[counts.argmax()])


def _standardised(inputs: np.ndarray, training: np.ndarray) -> Fitted:
    """All windows [N, signals, length] with each signal at mean 0 and deviation 1 over the training ones."""
    seen = inputs[training].astype(np.float64)
    mean, deviation = seen.mean(axis=(0, 2)), seen.std(axis=(0, 2))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    values, arrays = {"shape": list(inputs.shape[1:])}, {"mean": mean, "scale": scale}
    return Fitted(inputs_of_signals(values, arrays, inputs), Preprocessing("signals", values, arrays))
