"""Federated averaging."""

from __future__ import annotations

import math

from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ServerState


def fedavg(server_learning_rate: float = 1.0) -> Algorithm:
    """Add the weighted mean of the clients' updates, times the server's learning rate.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    algorithm 1, where the rate is 1; the rate is Reddi et al. 2021, "Adaptive Federated Optimization",
    algorithm 1. Differs from McMahan in the denominator: weights are normalised over the cohort, not over
    all clients (as everybody implements it).
    """
    if not 0 < server_learning_rate < math.inf:
        raise ValueError(f"server_learning_rate must be a finite number > 0, got {server_learning_rate}")

    def update(state: ServerState, parameters: Tensor, mean_update: Tensor) -> tuple[ServerState, Tensor]:
        return state, parameters + server_learning_rate * mean_update

    return Algorithm(init=lambda parameters: {}, update=update)
