"""Exclusion of imported modules from garbage collection, as they stay in memory for good."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_kept() -> Iterator[None]:
    """Exclude all objects created in this block, which should do little but import, from garbage collection.

    PyTorch, MLflow and Prefect create half a million objects. Each full collection traverses all that are not excluded,
    and several happen during the import: a tenth of the CPU time of a study of small runs.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
