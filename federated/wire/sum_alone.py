"""The sum of a cohort's updates, where the transport lets the server read nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.run.worker import Worker
from federated.transports import Sending


def sum_of(
    worker: Worker, done: int, travelled: Sequence[bytes], cohort: np.ndarray, counts: np.ndarray
) -> Tensor:
    """The sum of the updates of a whole cohort, float32 [1, P].

    travelled: a payload of each client, in order; where the transport is a protocol, that of its sum, and those of
    canaries, which take part in no protocol. counts: how often each update is in the sum, float64 [C], which a
    protocol has seen to already.

    Running statistics, where there are any, stay at the clients, and their sum is zero.
    """
    parts = worker.parts
    sending = Sending(worker.config.seed, done, cohort, cohort)
    opened = parts.transport.open(travelled, sending) if parts.transport.protocol is None else travelled
    decoded = parts.uplink.decode(opened, parts.travelling.num_moving).to("cpu", torch.float32)
    if parts.transport.protocol is None and worker.config.cohort.weighting == "examples":
        decoded = decoded * torch.from_numpy(counts).to(decoded)[:, None]
    decoded = decoded.sum(dim=0, keepdim=True)
    moved = parts.travelling.back(decoded, decoded.new_zeros(worker.model.num_trainable))
    return torch.nn.functional.pad(moved, (0, worker.model.vector.numel() - moved.shape[1]))
