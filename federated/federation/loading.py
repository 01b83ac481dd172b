"""Examples of a data set, loaded once for all runs that use it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from federated.choices.choice import Choice
from federated.datasets import Examples, as_examples
from federated.examples.hashing import row_sizes
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.machine.files import files_below
from federated.machine.kept import stamps_of
from federated.machine.torch_settings import torch_kept
from federated.user_code.containment import contained, is_own, title
from federated.user_code.permission import explained

Stamp = tuple[tuple[str, int, int, int], ...]
"""`stamps_of` of every file that a choice names; own code by its digest."""

_SECONDS_TO_LOAD = 10.0  # what takes longer is not called a second time, to see whether it returns the same
_KNOWN: set[tuple[Choice, Stamp]] = set()
"""A person's own data sets that returned the same twice."""


def load_examples(dataset: Choice) -> Examples:
    """The examples of a data set; the last two stay in memory. Raises BadInput where they cannot be loaded."""
    with doing(f"reading the data set {dataset.name}"):
        return _load(dataset, stamp(dataset))


def stored_sizes(dataset: Choice) -> np.ndarray:
    """The bytes of each example of a data set before any preprocessing, inputs and targets, int64 [N].

    See `row_sizes`; of files that are compressed, such as pictures, it is the numbers within that count.
    """
    return _sizes(dataset, stamp(dataset))


def stamp(choice: Choice) -> Stamp:
    """A stamp that changes with the files behind a data set or partitioner, and with the choices within it, so that a
    long-lived process reloads them."""
    paths = [Path(text) for text in _texts(choice.arguments) if os.path.isabs(text) and os.path.exists(text)]
    try:
        stats = {
            f"{path}/{below}": stat
            for path in paths
            for below, stat in (files_below(path) if path.is_dir() else {"": path.stat()}).items()
        }
    except OSError as error:  # of a folder that may not be read
        raise BadInput(f"{choice.label()}: {error.filename} cannot be read: {error.strerror}") from error
    return (*stamps_of(stats), *((f"{name} {digest}", 0, 0, 0) for name, digest in choice.own_code().items()))


def _texts(value: Any) -> Iterator[str]:
    """Every text in an argument, whatever lists, mappings and choices it is in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


@lru_cache(maxsize=2)
def _sizes(dataset: Choice, stamped: Stamp) -> np.ndarray:
    examples = _load(dataset, stamped)
    sizes: np.ndarray = row_sizes(examples.inputs) + row_sizes(examples.targets)
    return sizes


@lru_cache(maxsize=2)
def _load(dataset: Choice, stamped: Stamp) -> Examples:
    if not is_own(dataset):
        return _registered(dataset)
    started = time.perf_counter()
    examples = _own(dataset)
    if (dataset, stamped) not in _KNOWN and time.perf_counter() - started < _SECONDS_TO_LOAD:
        if _own(dataset).digest != examples.digest:
            raise OwnCodeFailed(
                f"dataset: {title(dataset)} returns other data each time it is called; draw its random numbers from a "
                "generator with a seed, such as numpy.random.default_rng(0)"
            )
        _KNOWN.add((dataset, stamped))
    return examples


def _registered(dataset: Choice) -> Examples:
    try:
        return as_examples(dataset.build()(), dataset.label())
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"dataset: {dataset.label()} cannot be loaded: {explained(error)}") from error


def _own(dataset: Choice) -> Examples:
    """Examples of a person's own function. Raises OwnCodeFailed."""
    name = title(dataset)
    with torch_kept(f"dataset: {name}"):
        with contained(f"dataset: {name} cannot be loaded"):
            result = dataset.build()()
        try:
            return as_examples(result, dataset.label())
        except BadInput as error:
            raise OwnCodeFailed(str(error)) from error
