"""The features that a trunk gives to what follows it in a model's own forward: of texts one state a position."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from federated.foundation.doing import doing
from federated.local_training.trunk.beginning import OTHER_SHAPES, NoTrunk, Trunk
from federated.local_training.trunk.identity import digest_of, identity_below
from federated.local_training.trunk.order import lengths_of
from federated.local_training.trunk.passes import (
    FOLDER,
    TrunkPass,
    batches_of,
    check_room,
    features_of_all,
    of_rows,
    of_some_rows,
    rehearsed,
)
from federated.machine.kept import is_kept, kept
from federated.machine.large_arrays import growing, mapped

if TYPE_CHECKING:
    from federated.local_training.trunk.rest import Rest

_VALUES, _PLACES = "states.npy", "places.npy"

_REHEARSED: dict[str, tuple[Tensor, float]] = {}
"""What a rehearsal measured last, for the other seeds and arms of its study."""


class States:
    """The features of all examples; a model and its copies have the same ones.

    values [n, ...]: of all positions, one example after another. starts, lengths [N]: the first position of each
    example, and their number; None: each is one, of any shape.
    """

    def __init__(self, values: Tensor, starts: Tensor, lengths: Tensor | None) -> None:
        self._values, self._starts, self._lengths = values, starts, lengths

    def __deepcopy__(self, memo: dict[int, Any]) -> States:
        return self

    def of(self, numbers: Tensor, like: Tensor) -> Tensor:
        """The features [B, ...] of examples by their numbers [B]. like: what the model itself has there.

        An example has as many positions as the call wants; what it lacks is filling, its own first one.
        """
        starts = self._starts[numbers]
        if self._lengths is None:
            return self._values[starts]
        positions = torch.arange(like.shape[1], device=starts.device)
        inside = positions < self._lengths[numbers][:, None]
        return self._values[starts[:, None] + torch.where(inside, positions, 0)]


def states_of_each(features: Sequence[Tensor], *, by_position: bool) -> States:
    """Of the features of each example alone, [1, ...]."""
    if not by_position:
        return States(torch.cat([*features]), torch.arange(len(features), device=features[0].device), None)
    lengths = torch.tensor([each.shape[1] for each in features], device=features[0].device)
    values = torch.cat([each.flatten(0, 1) for each in features])
    return States(values, lengths.cumsum(0) - lengths, lengths)


def states_of(
    found: Rest, inputs: Tensor, code: Sequence[str], threads: int, *, rehearsal: bool
) -> tuple[States, TrunkPass]:
    """The features of all examples, on the device of the inputs. Arguments and errors as of `features_of`."""
    first = of_some_rows(found.whole, found.cut, inputs)
    shape = tuple(first.shape[2 if found.by_position else 1 :])
    identity = identity_below(
        found.whole, found.cut, found.place.before, inputs, [*code, digest_of(first), str(found.by_position)]
    )
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    num_bytes = _num_positions(found, inputs) * math.prod(shape) * first.element_size()
    there = is_kept("states", identity, FOLDER)
    check_room(num_bytes, inputs.device, is_kept=there)
    if rehearsal and not there:
        if digest not in _REHEARSED:
            _REHEARSED.clear()
            features, seconds = rehearsed(found.whole, found.cut, inputs)
            if found.by_position:
                features = [each.flatten(0, 1) for each in features]
            _REHEARSED[digest] = torch.cat(features), seconds
        some, seconds = _REHEARSED[digest]
        return _stand_ins(found, some, inputs), TrunkPass(digest, seconds / threads, num_bytes)
    make = partial(_write, found, inputs, shape, threads)
    started = time.perf_counter()
    values, places = kept("states", identity, make, _read, FOLDER)
    seconds = 0.0 if there else time.perf_counter() - started
    places = places.to(inputs.device)
    num_bytes = values.numel() * values.element_size()
    lengths = places[1] if found.by_position else None
    return States(values.to(inputs.device), places[0], lengths), TrunkPass(digest, seconds, num_bytes)


def _num_positions(found: Rest, inputs: Tensor) -> int:
    """How many positions all examples have together, about: a batch that of its longest, where the model cuts them."""
    lengths = lengths_of(inputs)
    if not found.by_position or lengths is None:
        return len(inputs)
    shortest = lengths.argmin()[None]
    trunk = Trunk(found.whole, found.cut, training=False)
    if of_rows(trunk, inputs, shortest).shape[1] == inputs.shape[1]:
        return len(inputs) * inputs.shape[1]
    return sum(
        len(batch) * max(1, int(lengths[batch.to(lengths.device)].max())) for batch in batches_of(inputs)
    )


@doing("running the frozen part of the model once on every example")
def _write(found: Rest, inputs: Tensor, shape: tuple[int, ...], threads: int, folder: Path) -> None:
    dtype = torch.empty(0, dtype=found.whole.vector.dtype).numpy().dtype
    places, done = np.zeros((2, len(inputs)), np.int64), 0
    with growing(folder / _VALUES, dtype, shape) as file:
        for batch, features in features_of_all(found.whole, found.cut, inputs, threads):
            rows = features.flatten(0, 1) if found.by_position else features
            if rows.shape[1:] != shape:
                raise NoTrunk(OTHER_SHAPES)
            file.add(rows.cpu().numpy())
            each = len(rows) // len(batch)
            places[:, batch.numpy()] = np.stack(
                [done + each * np.arange(len(batch)), np.full(len(batch), each)]
            )
            done += len(rows)
    np.save(folder / _PLACES, places)


def _read(folder: Path) -> tuple[Tensor, Tensor]:
    values, places = mapped(folder / _VALUES), mapped(folder / _PLACES)
    return torch.from_numpy(values), torch.from_numpy(places)


def _stand_ins(found: Rest, some: Tensor, inputs: Tensor) -> States:
    """The features of a few for all examples."""
    numbers = torch.arange(len(inputs), device=some.device)
    if not found.by_position:
        return States(some, numbers % len(some), None)
    length = inputs.shape[1]
    some = some.repeat(-(-length // len(some)), *[1] * (some.dim() - 1))
    return States(some, numbers % (len(some) - length + 1), torch.full_like(numbers, length))
