"""Reusable buffers: mapping fresh pages took as long as training a logistic regression."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor


class Scratch:
    """Tensors by name for one thread, kept from block to block and from round to round, as large as ever asked for."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def __call__(
        self, name: str, like: Tensor, *shape: int, fresh: Callable[[Tensor], None] | None = None
    ) -> Tensor:
        """A tensor of this shape, of the type and on the device of `like`, with arbitrary content.

        fresh: told the tensor where its memory is new, to write what every later one of the name finds there.
        """
        count, kept = math.prod(shape), self._kept.get(name)
        if kept is None or kept.numel() < count:
            kept = self._kept[name] = like.new_empty(count)
            if fresh is not None:
                fresh(kept.view(shape))
        return kept[:count].view(shape)
