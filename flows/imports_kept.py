"""What is imported is there for good, so the garbage collector need not look at it again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_kept() -> Iterator[None]:
    """What is made in this block, which should import and little else, is left out of garbage collection from then on.

    PyTorch, MLflow and Prefect make half a million objects. Each full collection goes through all that are not left
    out, and while they are being imported there are several: a tenth of the CPU time of a study of small runs.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
