"""Examples of a data set, loaded once for all runs that use it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from federated.choice import Choice
from federated.datasets import Examples, as_examples
from federated.errors import BadInput
from federated.own_code import explained

Stamp = tuple[tuple[str, int, int], ...]
"""(file, time of its last change in ns, bytes) of every file that a data set names."""


def load_examples(dataset: Choice) -> Examples:
    """The examples of a data set; the last two stay in memory. Raises BadInput where they cannot be loaded."""
    return _load(dataset, stamp(dataset))


def stamp(dataset: Choice) -> Stamp:
    """What tells that the files behind a data set changed, so that a long-lived process loads them anew."""
    named = [Path(value) for value in dataset.arguments.values() if isinstance(value, str)]
    paths = [path for path in named if path.is_absolute() and path.exists()]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    return tuple(
        (str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()
    )


@lru_cache(maxsize=2)
def _load(dataset: Choice, stamped: Stamp) -> Examples:
    try:
        return as_examples(dataset.build()(), dataset.label())
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"dataset: {dataset.label()} cannot be loaded: {explained(error)}") from error
