"""Outputs a few rows at a time, so that what is computed from them needs no copy of all of them.

Write what is found into one array made before: small results that stay between the large ones of the blocks leave holes
that the next block just does not fit into, and the heap grows as if nothing were freed.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

AT_A_TIME = 2**20
"""Numbers, 8 MB of them in float64: a hundred examples of 10,000 classes, and all of a test set of ten."""


def row_blocks(outputs: Tensor) -> Iterator[slice]:
    """Slices that cover the rows of outputs [N, outputs], in order; one that is empty where there are none."""
    count, width = len(outputs), max(outputs[:1].numel(), 1)
    most = max(AT_A_TIME // width, 1)
    for start in range(0, max(count, 1), most):
        yield slice(start, start + most)
