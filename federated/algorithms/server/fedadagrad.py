"""FedAdagrad: the server's steps shrink by the root of the sum of all squared updates so far."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.server.adaptive import adaptive


def fedadagrad(server_learning_rate: float = 0.1, beta1: float = 0.0, tau: float = 1e-3) -> Algorithm:
    """v = v + D^2; add server_learning_rate m / (sqrt(v) + tau), with m = beta1 m + (1 - beta1) D.

    D is the mean update.

    server_learning_rate: the server's step in the first round, where updates are large.
    beta1: how much of the mean of earlier updates stays; 0: m is the mean update.
    tau: what keeps the step finite where updates are small.

    Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2, whose experiments use beta1 = 0; v starts at
    tau^2, the least that the paper allows. This is torch.optim.Adagrad with initial_accumulator_value tau^2 and eps
    tau. TFF starts v at .1 and adds its epsilon within the root; Flower starts v at zero.
    """
    return adaptive(server_learning_rate, beta1, tau, lambda square, new: square + new)
