"""The losses that clients saw on their batches, brought to the CPU together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    """losses [n]: the mean loss of each batch of a client, where it was computed; sizes: examples of each."""

    losses: Tensor
    sizes: Sequence[int]


def mean_losses(clients: Sequence[Seen]) -> list[float]:
    """The mean loss of each client over its examples. One copy for all, as a GPU has to be waited for."""
    return [
        float(losses @ torch.tensor(one.sizes).to(losses)) / sum(one.sizes)
        for losses, one in zip(_on_cpu([one.losses for one in clients]), clients, strict=True)
    ]


def _on_cpu(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    if all(part.is_cpu for part in parts):
        return parts
    return torch.split(torch.cat(list(parts)).cpu(), [len(part) for part in parts])
