"""Torch's intra-op threads, for operations whose result does not depend on their number."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


class Team:
    """So many threads of torch for a call within the context, one after it, as a trainer has.

    For batched products, which torch and MKL split client by client, for gathering, and for sums of two numbers at a
    time. Not for a softmax: where one thread's share ends the scalar exponential takes over from the vectorised one,
    and rounds otherwise.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        torch.set_num_threads(self._threads)

    def __exit__(self, *raised: object) -> None:
        torch.set_num_threads(1)


def team(threads: int, parts: int) -> AbstractContextManager[None]:
    """At most so many threads for a call on so many parts; with less than a part for each a product may be cut."""
    return Team(min(threads, parts)) if min(threads, parts) > 1 else nullcontext()


def keeps_bits() -> bool:
    """Whether batched products are known to be split between matrices only, as MKL does it where none is a column."""
    return bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
