"""A fixed sequence of tensor operations that runs without Python's interpreter and its global lock.

Two threads of a hundred short operations a step each wait for the interpreter's lock half as long as they compute:
two threads trained a LeNet 1.3 times as fast as one. As a graph of torch's (TorchScript), recorded once and run as
it was recorded, the same operations hold no lock.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

Step = Callable[..., None]

# To record costs as much as about seven steps of a LeNet; a batch of an odd size may never come again.
_BEFORE, _MOST = 8, 4

# torch's tracer is not for Python 3.14 and newer, and can be switched off.
_CAN_RECORD = sys.version_info < (3, 14) and os.environ.get("PYTORCH_JIT", "1") != "0"

_one_at_a_time = threading.Lock()  # torch keeps one table of all its graphs


class Recordings:
    """Steps on kept buffers, by key: the first few times they run as they are, then as recorded.

    A step takes tensors of one shape and type for its key, and writes into these or into its buffers, which stay
    where they are in memory.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, int] = {}
        self._graphs: dict[Hashable, tuple[Callable[..., object], Sequence[Tensor]]] = {}

    def run(self, key: Hashable, step: Step, buffers: Callable[[], Sequence[Tensor]], *given: Tensor) -> None:
        """buffers: all that the step writes into."""
        if key in self._graphs:
            graph, kept = self._graphs[key]
            graph(*given, *kept)
            return
        self._seen[key] = self._seen.get(key, 0) + 1
        if _CAN_RECORD and self._seen[key] > _BEFORE and len(self._graphs) < _MOST:
            self._graphs[key] = _recorded(step, given, buffers())
        else:
            step(*given)


def as_recorded() -> AbstractContextManager[None]:
    """Around every `run`: graphs are not to be rewritten by what torch observes in them. For this thread only."""
    context: AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    return context


def _recorded(
    step: Step, given: Sequence[Tensor], buffers: Sequence[Tensor]
) -> tuple[Callable[..., object], Sequence[Tensor]]:
    """The step as a graph. It takes the buffers as inputs, because what is written into a constant may be left out.

    The step runs while it is recorded.
    """

    def whole(*tensors: Tensor) -> Tensor:
        step(*tensors[: len(given)])
        return tensors[0]

    with _one_at_a_time:
        return torch.jit.trace(whole, (*given, *buffers), check_trace=False), buffers  # type: ignore[no-untyped-call]
