"""Feature and concept skew: apply each client's transforms to the examples it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_partitioners import Transform
from data_partitioners.partition import flat_of, sizes_of
from federated.datasets import Examples
from federated.foundation.errors import BadInput

BLOCK_BYTES = 2**24
"""Inputs changed at a time: what the change needs beside its result is a few times this."""


@dataclass(frozen=True, eq=False)
class Changes:
    """The transforms of each client and the examples that they change.

    transforms: in the order in which they are applied.
    owners: the client of each example of the data set, int [N]; -1 where no client holds it.
    test_owners: the client whose changes each example of the central test set gets, where the test set is
        changed at all; -1 elsewhere.
    """

    transforms: tuple[Transform, ...]
    owners: np.ndarray
    test_owners: np.ndarray

    def digest(self, of_partition: str) -> str:
        """A short content address of a partition with these changes."""
        hashed = hashlib.sha256(of_partition.encode())
        for transform in self.transforms:
            hashed.update(transform.content())
        hashed.update(self.owners.tobytes())
        if any(transform.test for transform in self.transforms):
            hashed.update(self.test_owners.tobytes())
        return hashed.hexdigest()[:16]

    def applied(self, examples: Examples) -> Examples:
        """The examples, changed; what no transform touches is shared with those before. Raises ValueError."""
        changed = {
            field: self._changed(getattr(examples, field), by)
            for field in ("inputs", "targets")
            if (by := [transform for transform in self.transforms if transform.changes == field])
        }
        return examples.with_values(**changed)

    def _changed(self, values: np.ndarray, transforms: Sequence[Transform]) -> np.ndarray:
        """One new array for all transforms; every example takes part in every draw, so blocks change nothing."""
        numbers = [transform.fresh_generator() for transform in transforms]
        step = max(1, BLOCK_BYTES // max(values[:1].nbytes, 1))
        changed: np.ndarray | None = None
        for start in range(0, len(values), step):
            rows = slice(start, start + step)
            block = values[rows]
            for transform, generator in zip(transforms, numbers, strict=True):
                owners = np.where(
                    (self.owners[rows] < 0) & transform.test, self.test_owners[rows], self.owners[rows]
                )
                block = transform.apply(block, transform.parameters[owners], generator)
            if changed is None:
                changed = np.empty((len(values), *block.shape[1:]), block.dtype)
            changed[rows] = block
        assert changed is not None
        return changed


def changes_of(
    transforms: tuple[Transform, ...],
    held: Sequence[np.ndarray],
    test: np.ndarray,
    num_examples: int,
    generator: np.random.Generator,
) -> Changes | None:
    """The changes of examples held [K] and of the central test set; None where there are no transforms.

    The test set's examples are dealt to the clients evenly and at random.
    """
    if not transforms:
        return None
    owners = np.full(num_examples, -1, np.int32)
    owners[flat_of(held)] = np.repeat(np.arange(len(held)), sizes_of(held))
    test_owners = np.full(num_examples, -1, np.int32)
    test_owners[test] = generator.permutation(np.arange(len(test)) % len(held))
    return Changes(transforms, owners, test_owners)


def ready_examples(examples: Examples, training: np.ndarray, changes: Changes | None) -> Examples:
    """Examples as models see them: preprocessing fitted on the training examples alone, then the clients' changes.

    training: int64, the examples that are trained on. Raises BadInput.
    """
    if examples.fit is not None:
        try:
            inputs, preprocessing = examples.fitted(training)
        except ValueError as error:
            raise BadInput(f"dataset: {examples.name}: preprocessing failed: {error}") from error
        examples = replace(examples, inputs=inputs, fit=None, preprocessing=preprocessing)
    try:
        return examples if changes is None else changes.applied(examples)
    except ValueError as error:
        raise BadInput(str(error)) from error
