"""The split of a model into what is sent, what stays with each client, and what is the same everywhere for good."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from federated.compressors.parts import Layout


@dataclass(frozen=True, eq=False)
class Travelling:
    """The trainable parameters [T] and running statistics [P - T] of a model, of which some travel.

    layout: names and shapes of the M parameters that travel. moving: their places, int64 [M]; None where all travel,
    which then costs nothing. statistics: the places of the R running statistics that travel, int64 [R], counted from
    the first statistic; None where all do. num_statistics: R. staying: the places of what each client keeps, parameters
    and statistics, int64 [S], in the whole vector [P]. unsent: those of all that does not travel; what of it does not
    stay either never changes.
    """

    layout: Layout
    moving: Tensor | None
    statistics: Tensor | None
    num_statistics: int
    staying: Tensor
    unsent: Tensor

    @property
    def num_moving(self) -> int:
        """M."""
        return sum(math.prod(shape) for _, shape in self.layout)

    @property
    def keeps(self) -> bool:
        """Whether each client keeps a part of the model."""
        return self.staying.numel() > 0

    def of(self, rows: Tensor) -> Tensor:
        """The sent part [c, M] of rows [c, T]."""
        return _taken(rows, self.moving)

    def back(self, moved: Tensor, others: Tensor) -> Tensor:
        """Rows [c, T] of what travelled [c, M], and for the rest of `others` [c, T] or [T]."""
        return _put_back(moved, self.moving, others)

    def statistics_of(self, rows: Tensor) -> Tensor:
        """The sent part [c, R] of running statistics [c, P - T]."""
        return _taken(rows, self.statistics)

    def statistics_back(self, moved: Tensor, others: Tensor) -> Tensor:
        """Running statistics [c, P - T] of what travelled [c, R], the rest of `others` [c, P - T] or [P - T]."""
        return _put_back(moved, self.statistics, others)


def travelling(
    layout: Layout,
    staying: Collection[str],
    device: torch.device,
    statistics: Layout = (),
    fixed: Collection[str] = (),
    num_residual: int = 0,
) -> Travelling:
    """Cut a model by the names of the parameters and running statistics that stay.

    statistics: of the model. fixed: parameters that never change and are not sent. num_residual: numbers at the end of
    the vector that the server alone changes and sends in its own way. Raises ValueError where the model has no such
    name.
    """
    known = {name for name, _ in (*layout, *statistics)}
    if unknown := sorted({*staying, *fixed} - known):
        raise ValueError(
            f"the model has no parameter or running statistic {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )
    stays = {*staying}
    parameters = marked(layout, stays | {*fixed}).to(device)
    beside = torch.zeros(num_residual, dtype=torch.bool)
    running = torch.cat([marked(statistics, stays), ~beside]).to(device)
    never = torch.cat([marked(layout, stays | {*fixed}), marked(statistics, stays), beside]).to(device)
    kept = torch.cat([marked(layout, stays), marked(statistics, stays), beside]).to(device)
    return Travelling(
        tuple((name, shape) for name, shape in layout if name not in stays | {*fixed}),
        (~parameters).nonzero()[:, 0] if parameters.any() else None,
        (~running).nonzero()[:, 0] if running.any() else None,
        int((~running).sum()),
        kept.nonzero()[:, 0],
        never.nonzero()[:, 0],
    )


def marked(layout: Layout, names: Collection[str]) -> Tensor:
    """Which numbers of a flat vector of this layout are of these names, bool."""
    sizes = torch.tensor([math.prod(shape) for _, shape in layout], dtype=torch.int64)
    return torch.tensor([name in names for name, _ in layout], dtype=torch.bool).repeat_interleave(sizes)


def _taken(rows: Tensor, places: Tensor | None) -> Tensor:
    return rows if places is None else rows[:, places.to(rows.device)]


def _put_back(moved: Tensor, places: Tensor | None, others: Tensor) -> Tensor:
    if places is None:
        return moved
    rows = others.expand(len(moved), -1).clone()
    rows[:, places.to(rows.device)] = moved
    return rows
