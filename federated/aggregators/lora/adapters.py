"""The low-rank adapters of a model: where the factors of each are in a flat vector."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from federated.compressors.parts import Layout

_FACTOR = re.compile(r"(?P<layer>.*)\.lora_(?P<side>[AB])(?P<rest>\..+)?")


class Part(NamedTuple):
    """A tensor within a vector [P]. at: where it is. shape: as the layer has it."""

    name: str
    at: slice
    shape: tuple[int, ...]

    def of(self, rows: Tensor, *, columns: int | None = None) -> Tensor:
        """The part of rows [..., P] as matrices [..., m, n]; columns: n, by default all but the first dimension."""
        found = rows[..., self.at]
        return found.reshape(*found.shape[:-1], -1, columns or math.prod(self.shape[1:]))


class Adapter(NamedTuple):
    """The factors of one layer, whose weight changes by scale times B [d, r] times A [r, k].

    beside: the matrix [d, k] in the same units beside the frozen weight, where the model has it.
    """

    layer: str
    a: Part
    b: Part
    beside: Part | None = None

    @property
    def name_a(self) -> str:
        """The parameter A by its name."""
        return self.a.name

    @property
    def name_b(self) -> str:
        """The parameter B by its name."""
        return self.b.name

    @property
    def rank(self) -> int:
        """r."""
        return self.a.shape[0]

    def factors(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B [..., d, r], A [..., r, k]) of rows [..., P]; the kernels of convolutions as matrices."""
        return self.b.of(rows, columns=self.rank), self.a.of(rows)


def adapters_of(
    layout: Layout, factors: Collection[str], residuals: Sequence[tuple[str, tuple[int, ...], int]] = ()
) -> tuple[Adapter, ...]:
    """The adapters of which both factors are in the layout, in its order.

    factors: the names of those of the model, as names alone do not tell.
    residuals: name, shape and first place of each matrix beside a frozen weight.
    """
    found: dict[tuple[str, str], dict[str, Part]] = {}
    for part in _parts(layout):
        if part.name in factors and (match := _FACTOR.fullmatch(part.name)) is not None:
            found.setdefault((match["layer"], match["rest"] or ""), {})[match["side"]] = part
    beside = {name: Part(name, slice(at, at + math.prod(shape)), shape) for name, shape, at in residuals}
    return tuple(
        Adapter(layer, sides["A"], sides["B"], beside.get(f"{layer}.base_layer.residual"))
        for (layer, _), sides in found.items()
        if len(sides) == 2
    )


def _parts(layout: Layout) -> Iterator[Part]:
    at = 0
    for name, shape in layout:
        yield Part(name, slice(at, at + math.prod(shape)), shape)
        at += math.prod(shape)
