"""FedAdam: the server takes the mean update for a gradient and steps by Adam."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Heard, ServerState
from federated.foundation.scales import check_scale


def fedadam(
    server_learning_rate: float = 0.1, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Algorithm:
    """m = beta1 m + (1 - beta1) D; v = beta2 v + (1 - beta2) D^2; add server_learning_rate m / (sqrt(v) + tau).

    D is the mean update.

    server_learning_rate: the server's step where updates are large.
    beta1: how much of the mean of earlier updates stays.
    beta2: how much of the mean of their squares stays.
    tau: what keeps the step finite where updates are small.

    Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2: no bias correction, and v
    starts at tau^2. Differs from torch.optim.Adam, and from peers, in both: they correct, and start at zero. Where
    updates are far below tau the step is plain, with rate server_learning_rate / tau; far above, it is the sign's.
    """
    check_scale("server_learning_rate", server_learning_rate)
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= beta < 1:
            raise ValueError(f"{name} must be a number from 0 to below 1, got {beta}")
    check_scale("tau", tau)

    def init(parameters: Tensor) -> ServerState:
        return {"mean": torch.zeros_like(parameters), "square": torch.full_like(parameters, tau**2)}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        mean = beta1 * state["mean"] + (1 - beta1) * heard.update
        square = beta2 * state["square"] + (1 - beta2) * heard.update.square()
        return {"mean": mean, "square": square}, parameters + server_learning_rate * mean / (
            square.sqrt() + tau
        )

    return Algorithm(init, update)
