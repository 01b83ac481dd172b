"""Torch's threads: the one place that sets their number, for the calls of one thread of ours, and restores it.

Cores are for clients side by side. Beside a busy neighbour two threads in one product can take thirty times as long as
one, and they add up in another order; so everything runs with one, but for what a `team` is known to keep to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def set_threads(number: int) -> None:
    """Set the number for the calling thread and for threads that begin later."""
    torch.set_num_threads(number)


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads of torch within the context, and as many as before after it."""
    before = torch.get_num_threads()
    set_threads(number)
    try:
        yield
    finally:
        set_threads(before)


class Team:
    """So many threads of torch for a call within the context, one after it, as a trainer has.

    For batched products, which torch and MKL split client by client, for gathering, and for sums of two numbers at a
    time. Not for a softmax: where one thread's share ends the scalar exponential takes over from the vectorised one,
    and rounds otherwise.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __enter__(self) -> None:
        set_threads(self._threads)

    def __exit__(self, *raised: object) -> None:
        set_threads(1)


def team(threads: int, parts: int) -> AbstractContextManager[None]:
    """At most so many threads for a call on so many parts; with less than a part for each a product may be cut."""
    return Team(min(threads, parts)) if min(threads, parts) > 1 else nullcontext()


def keeps_bits() -> bool:
    """Whether batched products are known to be split between matrices only, as MKL does it where none is a column."""
    return bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
