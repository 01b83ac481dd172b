"""Pixels of image files as they are kept at home: read once, then mapped into memory."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from federated.foundation.doing import doing
from federated.machine.cores import threads_of
from federated.machine.kept import kept, stamps_of
from federated.machine.large_arrays import check_disk, growing, mapped
from federated.preprocessing.raw_images import pixels_of, shape_of

_VERSION = 1
"""Of what is written and of how pixels are made; another number makes all of it anew."""
_AT_A_TIME = 256


class StoredImages(NamedTuple):
    """inputs: bytes [n, channels, height, width] of the images that could be read, mapped. readable: bool [N], of all
    files. broken: name -> what is wrong with it."""

    inputs: np.ndarray
    readable: np.ndarray
    broken: dict[str, str]


def stored_images(folder: Path, names: Sequence[str], values: Mapping[str, Any]) -> StoredImages:
    """The pixels of files of a folder; read now, or at an earlier time. values: of `pixels_of`."""
    stamps = json.dumps(stamps_of({name: (folder / name).stat() for name in names})).encode()
    identity = {"version": _VERSION, "values": values, "files": hashlib.sha256(stamps).hexdigest()}

    def make(partial: Path) -> None:
        check_disk(partial, math.prod((len(names), *shape_of(values))))
        broken: dict[str, str] = {}
        with (
            doing(f"reading {len(names):,} image files"),
            growing(partial / "pixels.npy", np.uint8, shape_of(values)) as pixels,
        ):
            for name, found in zip(names, _each(folder, names, values), strict=True):
                if isinstance(found, np.ndarray):
                    pixels.add(found[None])
                else:
                    broken[name] = str(found)
        (partial / "broken.json").write_text(json.dumps(broken), encoding="utf-8")

    def read(made: Path) -> StoredImages:
        broken = json.loads((made / "broken.json").read_text(encoding="utf-8"))
        readable = np.array([name not in broken for name in names])
        return StoredImages(mapped(made / "pixels.npy"), readable, broken)

    return kept("images", identity, make, read)


def _each(folder: Path, names: Sequence[str], values: Mapping[str, Any]) -> Iterator[np.ndarray | ValueError]:
    """The pixels of each file, or why there are none, in their order; some files at a time, on all cores."""

    def read(name: str) -> np.ndarray | ValueError:
        try:
            return pixels_of(folder / name, values)
        except ValueError as error:
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(threads_of(None)) as pool:
        warnings.simplefilter(
            "ignore"
        )  # of pillow, on damaged metadata; images that are too large are refused
        for first in range(0, len(names), _AT_A_TIME):
            yield from pool.map(read, names[first : first + _AT_A_TIME])
