"""Momentum correction: momentum that belongs to what is sent, for sparse updates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.compressors.compressor import CohortState, Compressor, nested, under
from federated.compressors.traits import Trait

_INNER = "inner."


def momentum_correction(inner: Compressor, momentum: float = 0.9) -> Compressor:
    """Send momentum x (what was not sent of it) + update through `inner`, which must be error_feedback.

    Lin et al. 2018, "Deep gradient compression", eq. 6: the momentum is accumulated at the client before what is
    lost is, so that a coordinate that waits its turn gathers momentum as if it had been sent all along; and the
    momentum of what was sent starts again at zero (section 3.2, momentum factor masking). The step it makes is up to
    1 / (1 - momentum) times the update. Raises ValueError where `inner` is not error feedback, without which
    what is not sent is lost and there is nothing to correct.
    """
    if not 0 < momentum < 1:
        raise ValueError(f"momentum must be between 0 and 1, got {momentum}")
    if Trait.FEEDBACK not in inner.traits or Trait.CORRECTED in inner.traits:
        raise ValueError(
            "inner must be error_feedback: without it, what is not sent is lost and there is nothing to correct"
        )

    def init(num_clients: int, num_parameters: int) -> CohortState:
        kept = under(_INNER, inner.init(num_clients, num_parameters))
        return {"momentum": torch.zeros(num_clients, num_parameters), **kept}

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        velocity = momentum * state["momentum"] + deltas
        payloads, kept = inner.encode(nested(state, _INNER), velocity, generators)
        sent = inner.decode(payloads, deltas.shape[1]).to(velocity.device)
        return payloads, {"momentum": velocity.masked_fill(sent != 0, 0), **under(_INNER, kept)}

    return Compressor(
        init,
        encode,
        inner.decode,
        frozenset({Trait.FEEDBACK, Trait.CORRECTED}),
        fit=inner.fit and (lambda layout: momentum_correction(inner.fitted(layout), momentum)),
    )
