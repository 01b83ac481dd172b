"""Federated averaging."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Heard, ServerState
from federated.foundation.scales import check_scale


def fedavg(server_learning_rate: float = 1.0) -> Algorithm:
    """Add the weighted mean of the clients' updates, times the server's learning rate.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    algorithm 1, where the rate is 1; the rate is Reddi et al. 2021, "Adaptive Federated Optimization",
    algorithm 1. Differs from McMahan in the denominator: weights are normalised over the cohort, not over
    all clients (as everybody implements it).
    """
    check_scale("server_learning_rate", server_learning_rate)

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        return state, parameters + server_learning_rate * heard.update

    return Algorithm(init=lambda parameters: {}, update=update, adds=server_learning_rate == 1)
