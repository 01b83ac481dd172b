"""Examples of a data set, loaded once for all runs that use it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

from federated.choices.choice import Choice
from federated.datasets import Examples, as_examples
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.machine.torch_settings import torch_kept
from federated.user_code.containment import contained, is_own, title
from federated.user_code.permission import explained

Stamp = tuple[tuple[str, int, int], ...]
"""(file, time of its last change in ns, bytes) of every file that a data set names; own code by its digest."""

_SECONDS_TO_LOAD = 10.0  # what takes longer is not called a second time, to see whether it returns the same
_KNOWN: set[tuple[Choice, Stamp]] = set()
"""A person's own data sets that returned the same twice."""


def load_examples(dataset: Choice) -> Examples:
    """The examples of a data set; the last two stay in memory. Raises BadInput where they cannot be loaded."""
    return _load(dataset, stamp(dataset))


def stamp(dataset: Choice) -> Stamp:
    """What tells that the files behind a data set changed, so that a long-lived process loads them anew."""
    named = [Path(value) for value in dataset.arguments.values() if isinstance(value, str)]
    paths = [path for path in named if path.is_absolute() and path.exists()]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    stamps = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()]
    return (*stamps, *((f"{name} {digest}", 0, 0) for name, digest in dataset.own_code().items()))


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
