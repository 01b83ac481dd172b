"""The features of all examples: one pass of the trunk, kept at home for every run that has the same."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from federated.foundation.doing import doing
from federated.local_training.trunk.beginning import OTHER_SHAPES, NoTrunk
from federated.local_training.trunk.identity import digest_of, identity_of
from federated.local_training.trunk.passes import (
    FOLDER,
    TrunkPass,
    check_room,
    features_of_all,
    of_some_rows,
    rehearsed,
)
from federated.local_training.trunk.split import Split
from federated.machine.kept import is_kept, kept
from federated.machine.large_arrays import mapped

_FILE = "features.npy"

_REHEARSED: dict[str, tuple[Tensor, float]] = {}
"""What a rehearsal measured last, for the other seeds and arms of its study."""


def features_of(
    found: Split, inputs: Tensor, code: Sequence[str], threads: int, *, rehearsal: bool
) -> tuple[Tensor, TrunkPass]:
    """The features of all examples, [N, ...], on the device of the inputs.

    code: what else the trunk's computation depends on, such as digests of a person's own code. rehearsal: where they
    are not at hand, those of the first examples stand in for the others, and the time of a pass is measured.
    Raises NoTrunk where the model does something else with some of the examples, or the features are too large.
    """
    first = of_some_rows(found.whole, found.cut, inputs)
    shape = (len(inputs), *first.shape[1:])
    identity = identity_of(found.whole, found.cut, inputs, [*code, digest_of(first)])
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    num_bytes = math.prod(shape) * found.head.vector.element_size()
    there = is_kept("trunk", identity, FOLDER)
    check_room(num_bytes, inputs.device, is_kept=there)
    if rehearsal and not there:
        if digest not in _REHEARSED:
            _REHEARSED.clear()
            _REHEARSED[digest] = _of_some(found, inputs)
        some, seconds = _REHEARSED[digest]
        stand_ins = some[torch.arange(len(inputs), device=some.device) % len(some)]
        return stand_ins, TrunkPass(digest, seconds / threads, num_bytes)
    make = partial(_write, found, inputs, shape, threads)
    started = time.perf_counter()
    values = torch.from_numpy(kept("trunk", identity, make, lambda folder: mapped(folder / _FILE), FOLDER))
    seconds = 0.0 if there else time.perf_counter() - started
    return values.to(inputs.device), TrunkPass(digest, seconds, num_bytes)


@doing("running the frozen part of the model once on every example")
def _write(found: Split, inputs: Tensor, shape: tuple[int, ...], threads: int, folder: Path) -> None:
    dtype = torch.empty(0, dtype=found.head.vector.dtype).numpy().dtype
    array = open_memmap(folder / _FILE, "w+", dtype, shape)
    with (folder / _FILE).open("r+b") as file:  # a disk without room is an error here, and not in the middle
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    for batch, features in features_of_all(found.whole, found.cut, inputs, threads):
        if features.shape[1:] != shape[1:]:
            raise NoTrunk(OTHER_SHAPES)
        array[batch.numpy()] = features.cpu().numpy()
    array.flush()


def _of_some(found: Split, inputs: Tensor) -> tuple[Tensor, float]:
    """(features [n, ...] of a few batches, seconds of a pass by one thread)."""
    features, seconds = rehearsed(found.whole, found.cut, inputs)
    if len({each.shape[1:] for each in features}) > 1:
        raise NoTrunk(OTHER_SHAPES)
    return torch.cat(features), seconds
