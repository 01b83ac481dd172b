"""FedPer: clients share the body of the model, and each keeps a head of its own."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.fedavg import fedavg
from federated.algorithms.sharing.keeping import keeping
from federated.algorithms.sharing.layers import chosen


def fedper(personal: list[str] | None = None, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg of the body; the layers `personal` stay at each client, trained together with it.

    personal: layers by name as in `named_parameters()`, such as [head], by pattern, such as [block4.*], or by kind,
        such as [batch_norm], where no layer has this name; null: the last layer.
    server_learning_rate: what the mean update of the body is multiplied by.

    Arivazhagan et al. 2019, "Federated Learning with Personalization Layers", algorithm 1. What stays is neither sent
    nor counted, and starts as the initial model has it. Every client is evaluated with its own model, on its own
    held-out examples and on a part of the central test set, which is not drawn from its own data. A client that has not
    taken part yet is evaluated with the body and the initial head; unseen clients are left out, or fit a head to a few
    examples where `evaluation.unseen_fit` says so. Running statistics
    stay with their layer: in the paper the personalisation layers are whole blocks of a network, of which nothing is
    sent. Implementations that average every buffer of a state dict send them.
    """
    return keeping(fedavg(server_learning_rate), lambda holdings: chosen("personal", personal, holdings))
