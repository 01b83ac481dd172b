"""FedBN: batch normalisation is each client's own."""

from __future__ import annotations

from collections.abc import Collection

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings
from federated.algorithms.sharing.keeping import keeping
from federated.algorithms.sharing.layers import of_kind

_NOTHING_STAYS = (
    "algorithm: fedbn: the model has no batch normalisation that is trained, so nothing stays at a client and the rule "
    "is that of fedavg"
)


def fedbn(server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg of everything but batch normalisation, which stays at each client: parameters and running statistics.

    server_learning_rate: what the mean update of the rest is multiplied by.

    Li et al. 2021, "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", algorithm 1. For
    clients whose inputs differ: other scanners, cameras, sensors. A model without batch normalisation is trained as by
    fedavg, to the bit, with a warning. Layers are found by their kind: the authors' code takes what has `bn` in its
    name in the state dict, parameters and statistics alike, and misses a normalisation called `norm1`; it gives all
    clients the same weight, here `cohort.weighting: uniform`. PFLlib looks at the names of parameters alone, and
    averages no running statistics of any layer. A client that has not taken part yet has the initial normalisation.
    Layer, group and instance normalisation travel; with fedper(personal=[layer_norm]) they stay.
    """

    def find(holdings: Holdings) -> Collection[str]:
        every = [name for name, _ in (*holdings.layout, *holdings.statistics)]
        found = of_kind("batch_norm", holdings.model, every)
        if found.issuperset(name for name, _ in holdings.layout):
            raise ValueError("the model is batch normalisation alone, so nothing would be learnt together")
        return found

    made = keeping(fedavg(server_learning_rate), find)

    def fit(holdings: Holdings) -> Algorithm:
        return made.fitted(holdings)._replace(note="" if find(holdings) else _NOTHING_STAYS)

    return made._replace(fit=fit)
