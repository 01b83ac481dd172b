"""The payloads of past rounds that the server keeps for clients that missed them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from federated.algorithms.algorithm import Tensors


def replayed(held: int, now: int, lengths: Sequence[int], whole: int) -> int | None:
    """The number of newest payloads that a client needs whose last round was `held` (-1: never).

    lengths: bytes of the payloads that the server keeps, this round's last; whole: bytes of the whole model. None:
    send the whole model, because the client has none or because that is shorter.
    """
    missed = now - held
    replay = lengths[len(lengths) - missed :]
    return None if held < 0 or missed > len(lengths) or sum(replay) >= whole else missed


def worth_keeping(lengths: Sequence[int], most: int) -> int:
    """The number of newest payloads that are together shorter than `most` bytes, the size of the whole model."""
    total, count = 0, 0
    while count < len(lengths) and total + lengths[-1 - count] < most:
        total += lengths[-1 - count]
        count += 1
    return count


def memory_of(payloads: Sequence[bytes]) -> Tensors:
    """Payloads as the server remembers them."""
    lengths = torch.tensor([len(payload) for payload in payloads], dtype=torch.int64)
    together = np.frombuffer(b"".join(payloads), np.uint8)
    return {"payloads": torch.from_numpy(together.copy()), "lengths": lengths}


def payloads_of(kept: Tensors) -> list[bytes]:
    """The payloads that `stored` made a memory of."""
    parts = torch.split(kept["payloads"], kept["lengths"].tolist())
    return [part.cpu().numpy().tobytes() for part in parts]
