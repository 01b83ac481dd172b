"""Conversion of arrays to examples; the dtype alone decides how values are read.

inputs: unsigned bytes stay (images, scaled to [0, 1] when a batch is made); floats and booleans become
    float32; every other integer is a token, int64 and >= 0 - store whole-numbered features as floats.
targets: text, booleans and integers are classes, floats are regression, unless the task is stated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from federated.examples.checks.sequences import are_sequences, as_sequences
from federated.examples.client_ids import as_client_ids
from federated.examples.examples import Complaint, Examples, bad_data
from federated.examples.plain_arrays import as_float32, owned, plain_array
from federated.examples.reading import Reading, said
from federated.examples.tables.codes_of_missing import suspicion_of_codes
from federated.examples.target_suspicions import near_classes, suspicions_of_regression
from federated.examples.targets import refuse_dates
from federated.foundation.texts import quoted
from federated.machine.large_arrays import converted
from federated.metrics.tasks import Targets


def examples_of_arrays(
    name: str,
    inputs: Any,
    targets: Any,
    client_ids: Any = None,
    test: Any = None,
    classes: Any = None,
    task: Targets | None = None,
    source: str = "",
    fit: Callable[[np.ndarray], np.ndarray] | None = None,
    weights: Any = None,
    padding: int | str | None = None,
) -> Examples:
    """Examples of numpy arrays, torch tensors, lists or pandas columns. Raises BadInput.

    classes: the names of the classes in the order of their numbers; for text targets, also that order.
        None: the numbers as text, or the distinct texts in sorted order.
    fit: as of `Examples`; inputs are what it takes, of any kind.
    padding: of sequences, targets [N, length], the target of a position that does not count; None: all count.
    """
    bad = partial(bad_data, name)
    coded, names, position_classes = read_targets(targets, bad, classes, task, padding)
    ids, suspicions = (None, []) if client_ids is None else as_client_ids(client_ids, bad)
    options = name == "arrays"
    warnings = target_warnings(coded, names, task, options) if position_classes is None else ()
    return Examples(
        name,
        as_inputs(inputs, bad) if fit is None else inputs,
        coded,
        names,
        client_ids=ids,
        test=None if test is None else plain_array("test", test, bad),
        fit=fit,
        source=source,
        weights=None if weights is None else as_weights(weights, bad),
        reading=Reading(warnings=(*warnings, *said(suspicions))),
        position_classes=position_classes,
    )


def as_weights(values: Any, bad: Complaint) -> np.ndarray:
    """float64 [N]. Raises BadInput where they are no numbers."""
    array = plain_array("weights", values, bad)
    if array.dtype.kind not in "fiub":
        raise bad(f"weights must be numbers, got {array.dtype}")
    return array.astype(np.float64)


def target_warnings(
    targets: np.ndarray, classes: tuple[str, ...] | None, task: Targets | None = None, options: bool = False
) -> tuple[str, ...]:
    """Warnings about likely mistakes in targets.

    task: as it is stated; None where their dtype said what they are. options: of `arrays`, whose `task` cures.
    """
    if classes is not None:
        return said(near_classes("targets", classes)) if task is None else ()
    outputs = targets.reshape(len(targets), -1).astype(np.float64)
    codes = [
        each
        for at in range(outputs.shape[1])
        for each in suspicion_of_codes("targets", "targets", outputs[:, at], "leave these examples out")
    ]
    if task is not None:
        return said(codes) if task != "multilabel" else ()
    cures = () if options else ("return them as whole numbers (int64)", "")
    return said([*codes, *suspicions_of_regression("targets", targets, *cures)])


def as_inputs(values: Any, bad: Complaint) -> np.ndarray:
    """uint8, float32 or int64 [N, ...]; [N] is read as [N, 1]."""
    array = plain_array("inputs", values, bad)
    array = array[:, None] if array.ndim == 1 else array
    if array.size == 0:
        raise bad(f"inputs is empty, its shape is {list(array.shape)}")
    if array.dtype == np.uint8:
        return owned(array)
    if array.dtype.kind in "fb":
        return as_float32("inputs", array, bad)
    if array.dtype.kind not in "iu":
        raise bad(f"inputs must be numbers, got {array.dtype}; turn it into numbers first")
    if array.min() < 0:
        raise bad(
            f"inputs are integers ({array.dtype}), which are read as tokens, but the smallest is "
            f"{array.min()}; store features as floats",
        )
    return owned(_as_int64("inputs", array, bad))


def read_targets(
    values: Any, bad: Complaint, classes: Any, task: Targets | None, padding: int | str | None
) -> tuple[np.ndarray, tuple[str, ...] | None, tuple[str, ...] | None]:
    """(targets, names of the classes or None, of sequences those of the classes of a position). Raises BadInput."""
    array = plain_array("targets", values, bad)
    if padding is not None or are_sequences(array, task):
        names = None if classes is None else _class_names(classes, bad)
        numbers, known = as_sequences(array, names, padding, bad)
        return numbers, None, known
    return *as_targets(array, bad, classes, task), None


def as_targets(
    values: Any, bad: Complaint, classes: Any = None, task: Targets | None = None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """(int64 [N], names of the classes), or (float32 [N] or [N, outputs], None) for regression and multilabel."""
    array = plain_array("targets", values, bad)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.size == 0:
        raise bad(f"targets is empty, its shape is {list(array.shape)}")
    if task == "multilabel":
        return _labels(array, bad), None
    if task == "regression" or (task is None and classes is None and array.dtype.kind == "f"):
        if array.dtype.kind not in "fiu":
            raise bad(f"targets must be numbers for regression, got {array.dtype}")
        return as_float32("targets", array, bad), None
    return _class_numbers(array, None if classes is None else _class_names(classes, bad), bad, task)


def _labels(array: np.ndarray, bad: Complaint) -> np.ndarray:
    """0 and 1 of several labels, float32 [N, labels]."""
    if array.dtype.kind not in "fiub" or not np.isin(array, (0, 1)).all():
        raise bad("targets of multilabel must be 0 and 1, or booleans, [N, labels]")
    return owned(array.reshape(len(array), -1).astype(np.float32))


def _class_names(classes: Any, bad: Complaint) -> tuple[str, ...]:
    names = tuple(map(str, plain_array("classes", classes, bad)))
    if len(set(names)) < max(2, len(names)):
        raise bad(f"classes must be at least 2 different names, got {', '.join(names)}")
    return names


def _class_numbers(
    array: np.ndarray, classes: tuple[str, ...] | None, bad: Complaint, task: Targets | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.ndim != 1:
        raise bad(
            f"class targets must be [N], got {list(array.shape)}; of one-hot targets take the argmax, "
            "and for a class at every position state `padding`, the class number that does not count"
        )
    if array.dtype.kind == "U":
        if classes is None and task is None:
            refuse_dates("targets", pd.Series(array), bad, "state their names in `classes`")
        return _coded_text(array, classes, bad)
    if array.dtype.kind not in "biuf":
        raise bad(f"class targets must be integers or text, got {array.dtype}")
    if array.dtype.kind == "f" and len(broken := array[~(np.isfinite(array) & (array == np.floor(array)))]):
        raise bad(f"class targets must be whole numbers or text, got {broken[0]}")
    numbers = _as_int64("targets", array, bad)
    _check_gaps(np.unique(numbers), classes, bad)
    default = ("False", "True") if array.dtype == bool else tuple(map(str, range(int(numbers.max()) + 1)))
    return owned(numbers), default if classes is None else classes


def _as_int64(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """Whole numbers as int64; those beyond it are refused, where numpy would let them wrap around."""
    if array.dtype.kind != "b" and (array.max() >= 2**63 or array.min() < -(2**63)):
        raise bad(
            f"{field} holds whole numbers beyond the range of int64, such as {quoted(array.max().item())}"
        )
    return converted(array, np.int64)


def _coded_text(
    array: np.ndarray, classes: tuple[str, ...] | None, bad: Complaint
) -> tuple[np.ndarray, tuple[str, ...]]:
    present, codes = np.unique(array, return_inverse=True)
    names = tuple(map(str, present)) if classes is None else classes
    if unknown := sorted(set(map(str, present)) - set(names)):
        raise bad(f"the target {unknown[0]!r} is not among the classes {', '.join(names)}")
    if len(names) < 2:
        raise bad(f"all targets are {names[0]!r}; at least 2 classes are needed")
    number_of = {text: number for number, text in enumerate(names)}
    return np.array([number_of[str(text)] for text in present], np.int64)[codes], names


def _check_gaps(present: np.ndarray, classes: tuple[str, ...] | None, bad: Complaint) -> None:
    """Class numbers are 0 ... C - 1, each with an example. present: the distinct ones, sorted."""
    last = len(present) - 1 if classes is None else len(classes) - 1
    gaps = np.setdiff1d(np.arange(last + 1), present)
    if len(gaps) or present[0] < 0 or present[-1] > last:
        shown = ", ".join(map(str, present[:10])) + (", ..." if len(present) > 10 else "")
        stray = present[0] if present[0] < 0 else present[-1]
        wrong = f"class {gaps[0]} has no examples" if len(gaps) else f"there is a class {stray}"
        raise bad(
            f"integer targets must be class numbers 0 ... {last} without gaps, but {wrong}: got {shown}"
        )
    if last < 1:
        raise bad("all targets are class 0; at least 2 classes are needed")
