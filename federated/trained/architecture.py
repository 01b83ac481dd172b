"""A digest of a module without the values of its weights, by which exported programs are kept."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import platform
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import federated

_KNOWN = ("federated", "torch", "builtins", "collections", "functools", "math", "numpy")
"""Packages whose code the digest covers, by their version or by their files."""


def architecture_of(module: nn.Module, sample: Tensor) -> str | None:
    """A digest of all that the program of a module depends on, which is everything but the values of its weights.

    None where that is not known: with code that is neither torch's nor ours, or with what cannot be pickled.
    sample: of its inputs.
    """
    file = io.BytesIO()
    try:
        _WithoutWeights(file, module).dump(module)
    except Exception:  # noqa: BLE001 - what a module holds may raise anything
        return None
    versions = (torch.__version__, np.__version__, platform.python_version(), _code_digest())
    inputs = (str(sample.dtype), list(sample.shape[1:]))
    hashed = hashlib.sha256(json.dumps([versions, inputs]).encode())
    hashed.update(file.getvalue())
    return hashed.hexdigest()


class _WithoutWeights(pickle.Pickler):
    """Pickles a module without the values of its parameters and buffers; what else it holds, tensors too, as it is."""

    def __init__(self, file: io.BytesIO, module: nn.Module) -> None:
        super().__init__(file)
        weights = dict.fromkeys(map(id, [*module.parameters(), *module.buffers()]))
        self._weights = {tensor: at for at, tensor in enumerate(weights)}

    def persistent_id(self, value: object) -> tuple[object, ...] | None:
        """A weight's place and form; None for everything else."""
        if not isinstance(value, Tensor) or id(value) not in self._weights:
            return None
        return self._weights[id(value)], str(value.dtype), *value.shape

    def reducer_override(self, value: Any) -> Any:
        """Refuse functions and classes whose code may be another one tomorrow."""
        code = value if isinstance(value, type | FunctionType) else type(value)
        if code.__module__.partition(".")[0] not in _KNOWN:
            raise pickle.PicklingError(f"{code.__module__} is not known")
        return NotImplemented


@cache
def _code_digest() -> str:
    """Of our code, as layers of ours are not in `federated.models` alone."""
    hashed = hashlib.sha256()
    for file in sorted(Path(federated.__path__[0]).rglob("*.py")):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()
