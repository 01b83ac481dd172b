"""LG-FedAvg: each client keeps a representation of its own, and all share the head."""

from __future__ import annotations

from collections.abc import Collection

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings
from federated.algorithms.sharing.keeping import keeping
from federated.algorithms.sharing.layers import chosen, others, parameters_among


def lg_fedavg(shared: list[str] | None = None, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg of the layers `shared`; all before them stay at each client, trained together with them.

    shared: layers by name as in `named_parameters()`, such as [head], by pattern, such as [fc*], or by kind, such as
        [linear], where no layer has this name; null: the last layer.
    server_learning_rate: what the mean update of the shared layers is multiplied by.

    Liang et al. 2020, "Think Locally, Act Globally: Federated Learning with Local and Global Representations",
    algorithm 1: FedPer the other way round, for clients whose inputs differ and whose answers mean the same. The
    authors' code starts from a model that FedAvg has trained first, takes the plain mean over the cohort (here
    `cohort.weighting: uniform`), gives new heads to all clients and reports, for each, the best model on its test
    examples; here all start from the initial model and the last one counts. Their new clients are answered by all
    models together, which is not done here.
    """

    def find(holdings: Holdings) -> Collection[str]:
        travels = chosen("shared", shared, holdings, "nothing would stay at a client")
        parameters_among("shared", travels, holdings.layout)
        return others(travels, holdings)

    return keeping(fedavg(server_learning_rate), find)
