"""Federated averaging with a proximal term."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale


def fedprox(mu: float = 0.01, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg whose clients minimise their loss plus mu/2 ||w - received||^2, which holds them near the global model.

    Li et al. 2020, "Federated Optimization in Heterogeneous Networks", algorithm 2, with SGD as the local
    solver; mu = 0 is FedAvg. The paper's clients of different speed are `local.epochs: [low, high]`. Differs
    from the paper in sampling and weights: clients are drawn alike and their updates weighted as the cohort says;
    the paper draws them by their share of the examples and averages plainly.
    """
    check_scale("mu", mu, zero=True)
    return fedavg(server_learning_rate)._replace(terms=lambda state, clients, own: LocalTerms(proximal=mu))
