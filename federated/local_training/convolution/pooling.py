"""Max-pooling of windows whose corners lie as planes, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class WindowMaximum:
    """planes [height x width, n]: the corners of n windows, by row and then by column; outputs [n].

    Works in place: forward leaves in the planes by how much each corner leads those before it, and backward
    the gradient. Of equal values the first in reading order gets the gradient, as in torch. narrow: room for
    [height, n], used where windows are more than one wide and high.
    """

    def __init__(self, window: tuple[int, int], planes: Tensor, narrow: Tensor, outputs: Tensor) -> None:
        height, width = window
        between = planes.view(-1) if width == 1 else outputs if height == 1 else narrow
        self._steps: list[tuple[Sequence[Tensor], Tensor]] = []
        if width > 1:
            of_rows = planes.view(height, width, -1)
            self._steps.append((of_rows.unbind(1), between.view(height, -1)))
        if height > 1:
            self._steps.append((between.view(height, -1).unbind(), outputs))

    def forward(self) -> None:
        for planes, outputs in self._steps:
            _forward(planes, outputs)

    def backward(self, gradient: Tensor) -> None:
        """gradient [n] of the outputs; it is used up."""
        gradients = [outputs for _, outputs in self._steps[:-1]] + [gradient.view_as(self._steps[-1][1])]
        for (planes, _), gradient in reversed(list(zip(self._steps, gradients, strict=True))):
            _backward(planes, gradient)

    def buffers(self) -> list[Tensor]:
        """All that is written into."""
        return [tensor for planes, outputs in self._steps for tensor in (*planes, outputs)]


def _forward(planes: Sequence[Tensor], outputs: Tensor) -> None:
    best, free = planes[0], outputs
    for plane in planes[1:]:
        torch.maximum(best, plane, out=free)
        plane.sub_(best)
        best, free = free, best
    if best is not outputs:
        outputs.copy_(best)


def _backward(leads: Sequence[Tensor], gradient: Tensor) -> None:
    """threshold_backward is gradient * (lead > 0) in one pass."""
    first, *others = leads
    for at in range(len(others) - 1, -1, -1):
        lead = others[at]
        torch.ops.aten.threshold_backward.grad_input(gradient, lead, 0, grad_input=lead)
        torch.sub(gradient, lead, out=gradient if at else first)
