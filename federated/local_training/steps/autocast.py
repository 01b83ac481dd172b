"""A model's products in bfloat16, its parameters and its loss as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from federated.local_training.steps.work import LocalWork


def in_precision(work: LocalWork, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A forward pass in the precision that the run asks for; its outputs have the parameters' type either way."""
    if work.precision == "float32":
        return forward
    device, kept = work.inputs.device.type, work.model.vector.dtype

    def cast(*arguments: Any) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            outputs = forward(*arguments)
        return outputs.to(kept)

    return cast
