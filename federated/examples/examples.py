"""Examples: the common form of every data set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from federated.examples.checks.faults import (
    fault_of_classes,
    fault_of_clients,
    fault_of_sequences,
    fault_of_test,
)
from federated.examples.hashing import bytes_of, description_of, hashes_of
from federated.examples.reading import NOT_DESCRIBED, Reading
from federated.foundation.errors import BadInput
from federated.foundation.limits import MOST_COMPLAINTS
from federated.losses.weights import fault_of_weights
from federated.machine.large_arrays import blocks_of
from federated.metrics.tasks import CLASSIFICATION, REGRESSION, SEQUENCE, TASKS, Task, TaskName
from federated.preprocessing.preprocessing import Fitted, Preprocessing, as_they_are

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and targets, in memory, before anything is split.

    name: for people.
    inputs: [N, ...] uint8 (images, scaled to [0, 1] when a batch is made), float32, or int64 (tokens).
        A data set with a `fit` may hold anything that `fit` accepts, such as a pandas DataFrame [N, columns].
    targets: int64 [N], class numbers 0 ... len(classes) - 1; or float32 [N] or [N, outputs] for regression; or of
        sequences int64 [N, length], the class number of each position, PADDING where it does not count.
    classes: the names of the classes; None means regression, or sequences.
    position_classes: of sequences, the names of the classes of a position.
    client_ids: natural client of each example [N], of a dtype that sorts; None where there is none.
    test: bool [N], the data set's own test split, neither empty nor everything; None where it has none.
    fit: learns a preprocessing from the training examples alone: `fit(training indices)` gives the inputs [N, ...]
        of all examples and the preprocessing, `Fitted`, or raises ValueError; None where inputs are ready as they
        are. A person's own may return the inputs alone.
    source: where the data came from (a path, a URL, "scikit-learn"), for MLflow.
    properties: a table [N, columns] of what is known of the examples, features or not; partitioners may look
        at it, models never do.
    preprocessing: how raw rows became the inputs; None: the raw rows are the inputs, or `fit` tells.
    weights: what the loss of each example is multiplied by in training, float64 [N] >= 0, of any mean; None: all alike.
        No measure has them.
    target_names: the name of each target column; None where there is one, or they have none.
    learnt_as: the task; None: classification where there are classes, else regression.

    Raises BadInput where these promises are broken. Two Examples are equal where they are the same object;
    compare their digests to compare what they hold.
    """

    name: str
    inputs: Any
    targets: np.ndarray
    classes: tuple[str, ...] | None
    client_ids: np.ndarray | None = None
    test: np.ndarray | None = None
    fit: Callable[[np.ndarray], Fitted | np.ndarray] | None = None
    source: str = ""
    properties: pd.DataFrame | None = None
    reading: Reading = NOT_DESCRIBED
    learnt_as: Task | None = None
    preprocessing: Preprocessing | None = None
    weights: np.ndarray | None = None
    target_names: tuple[str, ...] | None = None
    position_classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field, column in {
            "targets": self.targets,
            "client_ids": self.client_ids,
            "test": self.test,
            "weights": self.weights,
        }.items():
            self._refuse_masked(field, column)
            if column is not None and len(column) != len(self.inputs):
                raise self._bad(f"{field} has {len(column):,} entries, inputs has {len(self.inputs):,}")
        self._refuse_masked("inputs", self.inputs)
        if len(self.targets) < 2:
            raise self._bad(f"at least 2 examples are needed, got {len(self.targets)}")
        weights = "" if self.weights is None else fault_of_weights(self.weights)
        self._refuse(fault_of_clients(self.client_ids) or fault_of_test(self.test) or weights)
        if self.fit is None:
            self._check_inputs()
        if self.position_classes is not None:
            self._refuse(fault_of_sequences(self.targets, self.position_classes))
        elif self.classes is None:
            self._check_target_numbers()
        else:
            self._refuse(fault_of_classes(self.targets, self.classes))
        if self.task.targets == "multilabel" and not np.isin(self.targets, (0, 1)).all():
            raise self._bad("targets of multilabel must be 0 and 1, a column for each label")
        if (self.task.targets == "classification") != (self.classes is not None):
            form = "names of classes" if self.task.targets == "classification" else "numbers without classes"
            raise self._bad(f"the task {self.task.name} needs {form}")
        if (self.task.targets == "sequence") != (self.position_classes is not None):
            raise self._bad(f"the task {self.task.name} is not for these targets, {list(self.targets.shape)}")

    @property
    def task(self) -> Task:
        """The task that is stated, else that of the targets: sequence, classification, regression."""
        found = REGRESSION if self.classes is None else CLASSIFICATION
        return self.learnt_as or (found if self.position_classes is None else SEQUENCE)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes of an example, or of a position; None without classes."""
        return self.classes if self.position_classes is None else self.position_classes

    def labels_of(self, indices: np.ndarray) -> np.ndarray:
        """The class numbers of these examples, int64 [n], or of all their positions that count; of classes alone."""
        found: np.ndarray = self.targets[indices]
        return found if self.position_classes is None else found[found >= 0]

    @property
    def num_outputs(self) -> int:
        """The outputs that the model must return (at each position): a score a class, or a value a target column."""
        return self.task.num_outputs(self.class_names, self.targets)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one example's outputs: [outputs], or of sequences [length, classes]."""
        before = () if self.position_classes is None else self.targets.shape[1:]
        return (*before, self.num_outputs)

    def fitted(self, training: np.ndarray) -> Fitted:
        """The inputs of all examples with the preprocessing that the training examples, int64, teach.

        Raises ValueError, and whatever a person's own `fit` raises.
        """
        if self.fit is None:
            return Fitted(self.inputs, self.preprocessing or as_they_are(self.inputs))
        found = self.fit(training)
        return found if isinstance(found, Fitted) else Fitted(found, as_they_are(found))

    def with_values(self, inputs: np.ndarray | None = None, targets: np.ndarray | None = None) -> Examples:
        """The same examples with other inputs [N, ...], or other targets [N], or both."""
        return replace(
            self,
            inputs=self.inputs if inputs is None else inputs,
            targets=self.targets if targets is None else targets,
        )

    def as_stated(self, task: TaskName | None) -> Examples:
        """The same examples with the task of this name; as they are where none is stated. Raises BadInput."""
        return self if task is None else replace(self, learnt_as=TASKS[task])

    @cached_property
    def digest(self) -> str:
        """A short content address of inputs, targets, client ids, test split, weights and the names of the classes."""
        hashed = hashlib.sha256(repr(self.class_names).encode())
        for part in (self.inputs, self.targets, self.client_ids, self.test):
            hashed.update(description_of(part))
            if part is not None:
                for some in bytes_of(part):
                    hashed.update(some)
        if self.weights is not None:  # older digests know none
            for some in bytes_of(self.weights):
                hashed.update(some)
        return hashed.hexdigest()[:16]

    @cached_property
    def hashes(self) -> np.ndarray:
        """A 64-bit hash of the inputs of each example, uint64 [N].

        Of 100,000 distinct examples, two have one hash with a probability of 3e-10.
        """
        return hashes_of(self.inputs)

    @cached_property
    def contents(self) -> np.ndarray:
        """A number for each example, int64 [N], equal where hashes are: 0 ... the number of distinct ones - 1."""
        return np.unique(self.hashes, return_inverse=True)[1].astype(np.int64, copy=False)

    def _refuse_masked(self, field: str, values: Any) -> None:
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise self._bad(f"{field} has masked values; leave these examples out, or fill them")

    def _check_inputs(self) -> None:
        if not isinstance(self.inputs, np.ndarray) or self.inputs.dtype not in _INPUT_TYPES:
            found = getattr(self.inputs, "dtype", type(self.inputs).__name__)
            raise self._bad(f"inputs must be a numpy array of uint8, float32 or int64, got {found}")
        if self.inputs.dtype == np.float32:
            self._check_numbers("inputs", self.inputs)

    def _check_numbers(self, field: str, values: np.ndarray) -> None:
        finite = np.empty(len(values), bool)
        for rows in blocks_of(values):
            finite[rows] = np.isfinite(values[rows]).reshape(len(finite[rows]), -1).all(axis=1)
        if not finite.all():
            bad = np.flatnonzero(~finite)
            raise self._bad(
                f"{field} holds NaN or infinite values in {len(bad)} examples, "
                f"the first is example {bad[0]}; remove or fill them"
            )

    def _check_target_numbers(self) -> None:
        if self.targets.dtype != np.float32:
            raise self._bad(
                f"targets without classes must be float32 [N] or [N, outputs], got {self.targets.dtype}; "
                "write targets.astype(np.float32)"
            )
        self._check_numbers("targets", self.targets)

    def _refuse(self, fault: str) -> None:
        if fault:
            raise self._bad(fault)

    def _bad(self, message: str) -> BadInput:
        return bad_data(self.name, message)


_INPUT_TYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.int64))


Complaint = Callable[[str], BadInput]
"""From what is wrong to the error to raise, which says in which data set."""


class BadData(BadInput):
    """Errors in the data of the data set `name`, in one sentence or several."""

    def __init__(self, name: str, *faults: str) -> None:
        self.name, self.faults = name, faults
        shown = [f"- {fault}" for fault in faults[:MOST_COMPLAINTS]]
        more = [f"- and {len(faults) - len(shown):,} more"] if len(faults) > len(shown) else []
        several = "\n".join([f"{len(faults):,} columns cannot be used:", *shown, *more])
        super().__init__(f"dataset: {name}: {faults[0] if len(faults) == 1 else several}")

    def __reduce__(self) -> tuple[type[BadData], tuple[str, ...]]:
        return type(self), (self.name, *self.faults)


def bad_data(name: str, message: str) -> BadData:
    """The error for what is wrong in the data of the data set `name`."""
    return BadData(name, message)


def gathered(attempts: Iterable[Callable[[], T]]) -> list[T]:
    """The results of all of them. Raises BadData with the errors of all that raised it, together."""
    found: list[T] = []
    errors: list[BadData] = []
    for attempt in attempts:
        try:
            found.append(attempt())
        except BadData as error:
            errors.append(error)
    if errors:
        raise BadData(errors[0].name, *(fault for error in errors for fault in error.faults)) from errors[0]
    return found
