"""FedLC: in training, a client's rare classes get a margin."""

from __future__ import annotations

import numpy as np
import torch

from federated.algorithms.algorithm import Algorithm, Need
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale

_ABSENT = 1e-8  # examples of a class that a client does not hold, as in peers: a margin of 100 tau


def fedlc(tau: float = 1.0, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg whose clients subtract tau x n^(-1/4) from the output of each class in training; n: their examples of it.

    tau: strength of the margins; 0 is FedAvg.
    server_learning_rate: what the mean update is multiplied by.

    Zhang et al. 2022, "Federated Learning with Label Distribution Skew via Logits Calibration". Each client's own
    counts are used, and evaluation knows nothing of them. The outputs of a class that a client does not hold hardly
    change. For classification alone. In the paper's formula the sum of the softmax leaves out the true class, so that
    the loss has no lower bound; as peers do, we take the whole softmax. PFLlib counts over all clients together, which
    gives every client the same margins. Nothing more is sent, and the loss of training is that with the margins.
    A loss with label smoothing is refused.
    """
    check_scale("tau", tau, zero=True)
    needs = frozenset({Need.OWN_CLASSES}) if tau else frozenset[Need]()
    plain = fedavg(server_learning_rate)._replace(needs=needs)

    def fit(holdings: Holdings) -> Algorithm:
        if holdings.class_counts is None:
            raise ValueError("it counts classes, and the targets are none; it is for classification")
        margins = tau * np.maximum(holdings.class_counts, _ABSENT) ** -0.25
        offsets = torch.from_numpy(-margins)
        return plain._replace(
            terms=lambda state, clients, own: LocalTerms(offsets=offsets[torch.tensor(list(clients))])
        )

    return plain._replace(fit=fit)
