"""Torch's global settings, which user code must leave unchanged because every run computes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from federated.foundation.errors import OwnCodeFailed
from federated.machine.torch_threads import set_threads

_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("default device", torch.get_default_device, torch.set_default_device),
    ("default type", torch.get_default_dtype, torch.set_default_dtype),
    ("number of threads", torch.get_num_threads, set_threads),
    ("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    ("precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (
        "deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    ("search for anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
)
"""Name -> how a setting is read, and how it is put back."""


@contextmanager
def torch_kept(what: str, failed: type[ValueError] = OwnCodeFailed) -> Iterator[None]:
    """Raise `failed` where what happens within changes a setting of torch's; the setting is put back either way."""
    before = [read() for _, read, _ in _SETTINGS]
    try:
        yield
        changed = [
            f"{name} from {then} to {now}"
            for (name, read, _), then in zip(_SETTINGS, before, strict=True)
            if (now := read()) != then
        ]
    finally:
        for (_, read, put_back), then in zip(_SETTINGS, before, strict=True):
            if read() != then:
                put_back(then)
    if changed:
        raise failed(
            f"{what} changes torch's {' and '.join(changed)}, for all other runs too; leave that out"
        )
