"""Transforms of a client's examples before training: noise, rotation, permuted labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Apply = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(values [n, ...], the parameters of each of them [n, ...], generator) -> values [n, ...], changed."""


@dataclass(frozen=True, eq=False)
class Transform:
    """A change of inputs or targets, its parameters drawn for each client, not applied yet.

    name: the partitioner's.
    changes: which values `apply` is called with; inputs as models see them before scaling, or class numbers.
    parameters: [K + 1, ...], a row for each client; the last row leaves an example as it is, and is for those
        that no client holds.
    apply: changes values; it must draw value after value, the same amount for each whatever its parameters, so
        that what is drawn for one example depends neither on who holds it or the others, nor on how many are
        changed at a time.
    generator: the state from which `apply` draws; never advanced, see `fresh_generator`.
    test: whether the central test set changes too, each example as if one of the clients held it.
    groups: whether clients with equal parameters are a group, whose examples are of one distribution.
    """

    name: str
    changes: Literal["inputs", "targets"]
    parameters: np.ndarray
    apply: Apply
    generator: np.random.Generator
    test: bool = False
    groups: bool = False

    def fresh_generator(self) -> np.random.Generator:
        """The generator in the state it was drawn in, so that to apply twice gives the same."""
        return copy.deepcopy(self.generator)

    def content(self) -> bytes:
        """All that decides what this does, for a digest."""
        state = self.generator.bit_generator.state
        described = (
            self.name,
            self.changes,
            self.test,
            self.parameters.dtype.str,
            self.parameters.shape,
            state,
        )
        return repr(described).encode() + self.parameters.tobytes()


def per_client(values: np.ndarray, neutral: np.ndarray | float) -> np.ndarray:
    """The `parameters` of a transform: the clients' values [K, ...] and the neutral row after them."""
    last = np.broadcast_to(np.asarray(neutral, values.dtype), (1, *values.shape[1:]))
    return np.concatenate([values, last])
