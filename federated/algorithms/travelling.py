"""The split of a model's parameters into those that are sent and those that stay with each client."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from federated.compressors.parts import Layout


@dataclass(frozen=True, eq=False)
class Travelling:
    """The trainable parameters [T] cut into those that travel [M] and those that stay [S].

    layout: names and shapes of those that travel. moving, staying: their places, int64 [M] and [S]; None and empty
    where all travel, which then costs nothing.
    """

    layout: Layout
    moving: Tensor | None
    staying: Tensor

    @property
    def num_moving(self) -> int:
        """M."""
        return sum(math.prod(shape) for _, shape in self.layout)

    def of(self, rows: Tensor) -> Tensor:
        """The sent part [c, M] of rows [c, T]."""
        return rows if self.moving is None else rows[:, self.moving.to(rows.device)]

    def back(self, moved: Tensor, others: Tensor) -> Tensor:
        """Rows [c, T] of what travelled [c, M], and for the rest of `others` [c, T] or [T]."""
        if self.moving is None:
            return moved
        rows = others.expand(len(moved), -1).clone()
        rows[:, self.moving.to(rows.device)] = moved
        return rows


def travelling(layout: Layout, staying: Collection[str], device: torch.device) -> Travelling:
    """Cut a model by the names of the parameters that stay."""
    if not staying:
        return Travelling(layout, None, torch.zeros(0, dtype=torch.int64))
    sizes = torch.tensor([math.prod(shape) for _, shape in layout])
    stays = torch.tensor([name in staying for name, _ in layout]).repeat_interleave(sizes).to(device)
    moves = tuple((name, shape) for name, shape in layout if name not in staying)
    return Travelling(moves, (~stays).nonzero()[:, 0], stays.nonzero()[:, 0])
