"""Checks of the values that a person's own functions return, and their description in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

from federated.foundation.errors import OwnCodeFailed


def tensors(found: object, must: str) -> dict[str, Tensor]:
    """The mapping of tensors that was returned. Raises OwnCodeFailed, beginning with `must`, where it is none."""
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise OwnCodeFailed(f"{must}, got {found_text(found)}")
    return dict(found)


def check_tensor(found: Any, like: Tensor, must: str) -> None:
    """Raise OwnCodeFailed where something is no tensor of this shape and type."""
    if not isinstance(found, Tensor) or found.shape != like.shape or found.dtype != like.dtype:
        raise OwnCodeFailed(f"{must} {_of_type(like)}, got {found_text(found)}")


def found_text(value: Any) -> str:
    """The value that was returned instead, in a few words."""
    if isinstance(value, Tensor):
        return _of_type(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if value is None:
        return "nothing (is a return missing?)"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shown = repr(value) if isinstance(value, Real | str) else ""
    return shown if 0 < len(shown) < 80 else f"a {type(value).__name__}"


def _of_type(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
