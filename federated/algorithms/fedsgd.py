"""FedSGD: one step of gradient descent in a round, on all examples of the cohort."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg


def fedsgd(server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg whose clients take one step on all of their examples.

    server_learning_rate: what the mean step is multiplied by, beside `local.learning_rate`.

    `local.epochs`, `local.steps` and `local.batch_size` of the study have no effect. McMahan et al. 2017,
    "Communication-Efficient Learning of Deep Networks from Decentralized Data", section 2: the baseline that FedAvg is
    measured against. `local.momentum` has no effect on a single step. Equal to FedAvg with `local.steps` 1 and
    `local.batch_size` null; as an algorithm it can stand in an axis beside others.
    """
    return fedavg(server_learning_rate)._replace(one_step=True)
