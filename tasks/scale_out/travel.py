"""Values on their way between processes: tensors as arrays, which Ray passes on without copying them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Packed(NamedTuple):
    """The numbers of a tensor."""

    numbers: np.ndarray


def packed(value: Any) -> Any:
    """An order or a report whose tensors are arrays on the CPU, those of a type without one aside."""
    if not isinstance(value, Tensor):
        return _within(value, packed)
    here = value.detach().cpu()
    return here if here.dtype == torch.bfloat16 else Packed(here.numpy())


def unpacked(value: Any, device: torch.device) -> Any:
    """The same with tensors again, on a device. They are copies, as what Ray hands out must not be written to."""
    if isinstance(value, Packed):
        return torch.from_numpy(np.array(value.numbers)).to(device)
    if isinstance(value, Tensor):
        return value.to(device)
    return _within(value, lambda part: unpacked(part, device))


def _within(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with its parts changed; orders and reports are nests of tuples, lists and mappings."""
    if isinstance(value, dict):
        return {name: change(part) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(change, value))
    if isinstance(value, list | tuple):
        return type(value)(map(change, value))
    return value
