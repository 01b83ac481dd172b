"""What arrays of any make become: the dtype alone decides what a value means.

inputs: unsigned bytes stay (images, scaled to [0, 1] when a batch is made); floats and booleans become
    float32; every other integer is a token, int64 and >= 0 - store whole-numbered features as floats.
targets: text, booleans and integers are classes, floats are regression, unless the task is stated.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from federated.datasets.examples import Complaint, Examples, Task, bad_data


def examples_of_arrays(
    name: str,
    inputs: Any,
    targets: Any,
    client_ids: Any = None,
    test: Any = None,
    classes: Any = None,
    task: Task | None = None,
    source: str = "",
) -> Examples:
    """Examples of numpy arrays, torch tensors, lists or pandas columns. Raises BadInput.

    classes: the names of the classes in the order of their numbers; for text targets, also that order.
        None: the numbers as text, or the distinct texts in sorted order.
    """
    bad = partial(bad_data, name)
    coded, names = as_targets(targets, bad, classes, task)
    return Examples(
        name,
        as_inputs(inputs, bad),
        coded,
        names,
        client_ids=None if client_ids is None else plain_array("client_ids", client_ids, bad),
        test=None if test is None else plain_array("test", test, bad),
        source=source,
    )


def as_inputs(values: Any, bad: Complaint) -> np.ndarray:
    """uint8, float32 or int64 [N, ...]; [N] is read as [N, 1]."""
    array = plain_array("inputs", values, bad)
    array = array[:, None] if array.ndim == 1 else array
    if array.size == 0:
        raise bad(f"inputs is empty, its shape is {list(array.shape)}")
    if array.dtype == np.uint8:
        return _owned(array)
    if array.dtype.kind in "fb":
        return as_float32("inputs", array, bad)
    if array.dtype.kind not in "iu":
        raise bad(f"inputs must be numbers, got {array.dtype}; turn it into numbers first")
    if array.min() < 0:
        raise bad(
            f"inputs are integers ({array.dtype}), which are read as tokens, but the smallest is "
            f"{array.min()}; store features as floats",
        )
    return _owned(array.astype(np.int64, copy=False))


def as_targets(
    values: Any, bad: Complaint, classes: Any = None, task: Task | None = None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """(int64 [N], names of the classes), or (float32 [N] or [N, outputs], None) for regression."""
    array = plain_array("targets", values, bad)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.size == 0:
        raise bad(f"targets is empty, its shape is {list(array.shape)}")
    if task == "regression" or (task is None and classes is None and array.dtype.kind == "f"):
        if array.dtype.kind not in "fiu":
            raise bad(f"targets must be numbers for regression, got {array.dtype}")
        return as_float32("targets", array, bad), None
    return _class_numbers(array, None if classes is None else _class_names(classes, bad), bad)


def _class_names(classes: Any, bad: Complaint) -> tuple[str, ...]:
    names = tuple(map(str, plain_array("classes", classes, bad)))
    if len(set(names)) < max(2, len(names)):
        raise bad(f"classes must be at least 2 different names, got {', '.join(names)}")
    return names


def _class_numbers(
    array: np.ndarray, classes: tuple[str, ...] | None, bad: Complaint
) -> tuple[np.ndarray, tuple[str, ...]]:
    if array.ndim != 1:
        raise bad(f"class targets must be [N], got {list(array.shape)}; of one-hot targets take the argmax")
    if array.dtype.kind == "U":
        return _coded_text(array, classes, bad)
    if array.dtype.kind not in "biuf":
        raise bad(f"class targets must be integers or text, got {array.dtype}")
    if array.dtype.kind == "f" and len(broken := array[~(np.isfinite(array) & (array == np.floor(array)))]):
        raise bad(f"class targets must be whole numbers or text, got {broken[0]}")
    numbers = array.astype(np.int64)
    _check_gaps(np.unique(numbers), classes, bad)
    default = ("False", "True") if array.dtype == bool else tuple(map(str, range(int(numbers.max()) + 1)))
    return _owned(numbers), default if classes is None else classes


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


def as_float32(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """The array as float32, ready for torch; a number that would become infinite is refused."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32, copy=False)
    if (np.isinf(narrow) & np.isfinite(array)).any():
        raise bad(f"{field} holds numbers beyond the range of 32-bit floats (3.4e38); scale it down")
    return _owned(narrow)


def plain_array(field: str, values: Any, bad: Complaint) -> np.ndarray:
    """A numpy array [N, ...] of numbers, booleans or text; Python objects are unwrapped, None is refused."""
    try:
        array = np.asarray(_numpy_of(values))
        array = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except (ValueError, TypeError) as error:
        raise bad(f"{field} cannot be read as one array: {error}") from error
    if array.ndim == 0:
        raise bad(f"{field} must be an array with an entry for each example, got a {type(values).__name__}")
    if array.dtype.kind == "U" and isinstance(values, list | tuple):
        # numpy would write a None or a number among texts as text: the class 'nan'.
        array = np.asarray(values, dtype=object)
    return _unwrapped(field, array, bad) if array.dtype.kind in "OT" else array


def _numpy_of(values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
        return np.stack([_numpy_of(value) for value in values])
    return values


def _unwrapped(field: str, array: np.ndarray, bad: Complaint) -> np.ndarray:
    """An array of Python objects as the dtype that all of them have."""
    missing = np.flatnonzero(pd.isna(array).reshape(len(array), -1).any(axis=1))
    if len(missing):
        raise bad(f"{field} has {len(missing)} missing values, the first is example {missing[0]}")
    kind = pd.api.types.infer_dtype(array.ravel())
    dtype = {
        "string": str,
        "integer": np.int64,
        "boolean": bool,
        "floating": float,
        "mixed-integer-float": float,
    }
    if kind not in dtype:
        raise bad(f"{field} must hold numbers or text of one kind, got {kind} Python objects")
    return array.astype(dtype[kind])


def _owned(array: np.ndarray) -> np.ndarray:
    """As torch takes it without a copy: contiguous, writable, in the machine's byte order."""
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
