"""The states of a text's tokens [B, length, n] as one state for each text [B, n]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pooling = Callable[[Tensor, Tensor], Tensor]
"""(states [B, length, n], which tokens are of a text, bool [B, length]) -> [B, n]."""


def _mean(states: Tensor, is_text: Tensor) -> Tensor:
    weights = is_text.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def _first(states: Tensor, is_text: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, is_text: Tensor) -> Tensor:
    places = torch.arange(states.shape[1], device=states.device)
    last = torch.where(is_text, places, 0).amax(1)
    return states.gather(1, last[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]


def _max(states: Tensor, is_text: Tensor) -> Tensor:
    return states.masked_fill(~is_text[..., None], float("-inf")).amax(1)


POOLINGS: dict[str, Pooling] = {"mean": _mean, "cls": _first, "last": _last, "max": _max}
