"""FedAdam: the server takes the mean update for a gradient and steps by Adam."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.server.adaptive import Correction, adaptive, check_decay


def fedadam(
    server_learning_rate: float = 0.1,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
    bias_correction: bool = False,
) -> Algorithm:
    """m = beta1 m + (1 - beta1) D; v = beta2 v + (1 - beta2) D^2; add server_learning_rate m / (sqrt(v) + tau).

    D is the mean update.

    server_learning_rate: the server's step where updates are large.
    beta1: how much of the mean of earlier updates stays.
    beta2: how much of the mean of their squares stays.
    tau: what keeps the step finite where updates are small.
    bias_correction: divide m and v, which then start at zero, by 1 - beta^rounds, as torch.optim.Adam does.

    Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2: no bias correction, and v
    starts at tau^2. Peers differ: TFF and the experiments of the paper (Keras) correct, with v from zero and beta2
    .999; Flower corrects with an exponent that is one round ahead. Where updates are far below tau the step is plain,
    with rate server_learning_rate / tau; far above, it is the sign's.
    """
    check_decay("beta2", beta2)
    correction = Correction(beta1, beta2) if bias_correction else None
    return adaptive(
        server_learning_rate,
        beta1,
        tau,
        lambda square, new: beta2 * square + (1 - beta2) * new,
        correction,
    )
