"""What is set for all of torch, which a person's own code must leave as it found it: every run computes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from federated.errors import OwnCodeFailed


@contextmanager
def torch_kept(what: str, failed: type[ValueError] = OwnCodeFailed) -> Iterator[None]:
    """Raise `failed` where what happens within changes a setting of torch's; the setting is put back either way."""
    dtype, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    try:
        yield
        changed = [
            f"{name} from {before} to {now}"
            for name, before, now in (
                ("default type", dtype, torch.get_default_dtype()),
                ("number of threads", threads, torch.get_num_threads()),
                ("gradient mode", grad, torch.is_grad_enabled()),
            )
            if before != now
        ]
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(grad)
    if changed:
        raise failed(
            f"{what} changes torch's {' and '.join(changed)}, for all other runs too; leave that out"
        )
