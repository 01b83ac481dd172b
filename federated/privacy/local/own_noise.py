"""The noise that clients add to their own updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from dp_accounting import DpEvent

Draw = Callable[[np.random.Generator, int], np.ndarray]
"""(a client's random numbers, P) -> the noise of its update, float64 [P]."""


def noised(updates: Tensor, numbers: Sequence[np.random.Generator], draw: Draw) -> Tensor:
    """The updates [c, P], each with noise of its client's own."""
    found = updates.clone()
    for row, own in zip(found, numbers, strict=True):
        row += torch.from_numpy(draw(own, len(row))).to(row)
    return found


def times(event: DpEvent, turns: int) -> DpEvent:
    """The event of so many turns of a client, which may be none."""
    from dp_accounting import NoOpDpEvent, SelfComposedDpEvent

    return SelfComposedDpEvent(event, turns) if turns else NoOpDpEvent()
