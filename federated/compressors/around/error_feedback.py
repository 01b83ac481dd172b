"""Error feedback: what a lossy compressor dropped is sent with a later update."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import CohortState, Compressor, nested, under
from federated.compressors.traits import Trait

_INNER = "inner."


def error_feedback(inner: Compressor) -> Compressor:
    """Compress update + residual with `inner`, and keep what was lost as the client's next residual.

    Seide et al. 2014; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD", algorithm 2. Conserves: what
    was sent plus the residual is the input plus the residual before. A client that does not take part keeps its
    residual until its next turn. Raises ValueError where `inner` is error feedback itself (both would send the
    same loss again) or loses more than the whole update (the residual would grow without end).
    """
    if Trait.FEEDBACK in inner.traits:
        raise ValueError("inner must not be error_feedback itself: what was lost would be sent twice")
    if Trait.EXPANDS in inner.traits:
        raise ValueError(
            "inner must lose less than the whole update, or the residual grows without end: "
            "use random_k(..., unbiased=false), or sign with its mean scale"
        )
    if Trait.DIFFERENCE in inner.traits:
        raise ValueError("inner must not be difference, which sends what was lost by itself")

    def init(num_clients: int, num_parameters: int) -> CohortState:
        kept = under(_INNER, inner.init(num_clients, num_parameters))
        return {"residual": torch.zeros(num_clients, num_parameters), **kept}

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        wanted = deltas + state["residual"]
        payloads, kept = inner.encode(nested(state, _INNER), wanted, generators)
        wanted -= inner.decode(payloads, deltas.shape[1]).to(wanted.device)
        return payloads, {"residual": wanted, **under(_INNER, kept)}

    return Compressor(
        init,
        encode,
        inner.decode,
        frozenset({Trait.FEEDBACK}),
        fit=inner.fit and (lambda layout: error_feedback(inner.fitted(layout))),
    )
