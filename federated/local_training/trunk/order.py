"""The order in which examples go through a trunk."""

from __future__ import annotations

import torch
from torch import Tensor


def batches_by_length(inputs: Tensor, size: int) -> list[Tensor]:
    """The places of all examples [N, ...] in batches, int64; sequences of tokens with others of about their length.

    A model that leaves out columns that are all padding has the least of it. Which are together changes features by
    rounding alone.
    """
    lengths = lengths_of(inputs)
    order = torch.arange(len(inputs)) if lengths is None else torch.argsort(lengths, stable=True).cpu()
    return list(torch.split(order, size))


def lengths_of(inputs: Tensor) -> Tensor | None:
    """Of sequences of tokens [N, length] the lengths, [N]; None for other inputs.

    A sequence ends where its last number begins to repeat, as padding does.
    """
    if inputs.dim() != 2 or inputs.is_floating_point() or inputs.dtype == torch.uint8:
        return None
    places = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
    return ((inputs != inputs[:, -1:]) * places).amax(dim=1)
