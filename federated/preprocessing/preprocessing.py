"""Preprocessing: how raw rows become a model's inputs, with all that was learnt from the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Numbers and texts alone, so that it can be stored without pickle and applied without this project.

    name: of an entry of `raw_rows.KINDS`, which applies it. values: JSON. arrays: by name.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Fitted(NamedTuple):
    """What a fit on training examples gives: inputs float32, uint8 or int64 [N, ...] of all examples."""

    inputs: np.ndarray
    preprocessing: Preprocessing


def as_they_are(inputs: np.ndarray) -> Preprocessing:
    """The preprocessing of examples whose raw rows are the inputs."""
    return Preprocessing("none", {"shape": list(inputs.shape[1:]), "dtype": str(inputs.dtype)})
