"""Error feedback: what a lossy compressor dropped is sent with a later update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import CohortState, Compressor

_INNER = "inner."


def error_feedback(inner: Compressor) -> Compressor:
    """Compress update + residual with `inner`, and keep what was lost as the client's next residual.

    Seide et al. 2014; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD", algorithm 2. Conserves: what
    was sent plus the residual is the input plus the residual before. A client that does not take part keeps its
    residual until its next turn. Raises ValueError where `inner` is error feedback itself: both would send the
    same loss again.
    """
    if "residual" in inner.init(1, 1):
        raise ValueError("inner must not be error_feedback itself: what was lost would be sent twice")

    def init(num_clients: int, num_parameters: int) -> CohortState:
        kept = {_INNER + name: value for name, value in inner.init(num_clients, num_parameters).items()}
        return {"residual": torch.zeros(num_clients, num_parameters), **kept}

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        wanted = deltas + state["residual"]
        kept = {name.removeprefix(_INNER): v for name, v in state.items() if name.startswith(_INNER)}
        payloads, kept = inner.encode(kept, wanted, generators)
        residual = wanted - inner.decode(payloads, deltas.shape[1]).to(wanted.device)
        return payloads, {"residual": residual, **{_INNER + name: value for name, value in kept.items()}}

    return Compressor(init=init, encode=encode, decode=inner.decode)
