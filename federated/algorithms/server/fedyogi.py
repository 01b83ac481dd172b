"""FedYogi: as FedAdam, but the squares change by a step that does not depend on how far they are off."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.server.adaptive import adaptive, check_decay


def fedyogi(
    server_learning_rate: float = 0.1, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Algorithm:
    """FedAdam with v = v - (1 - beta2) D^2 sign(v - D^2), so that v falls slowly after large updates.

    D is the mean update.

    server_learning_rate: the server's step where updates are large.
    beta1: how much of the mean of earlier updates stays.
    beta2: 1 - beta2 is the share of D^2 by which v moves towards it.
    tau: what keeps the step finite where updates are small.

    Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2; the rule is of Zaheer et al. 2018, "Adaptive
    Methods for Nonconvex Optimization". v starts at tau^2 and nothing is corrected. TFF corrects and starts v at 1e-6;
    Flower starts it at zero, with server_learning_rate .01.
    """
    check_decay("beta2", beta2)
    return adaptive(
        server_learning_rate,
        beta1,
        tau,
        lambda square, new: square - (1 - beta2) * new * (square - new).sign(),
    )
