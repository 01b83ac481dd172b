"""FedBABU: the body alone is trained, under a head that stays as it was at first; clients fit theirs afterwards."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm
from federated.algorithms.holdings import Holdings
from federated.algorithms.local_terms import LocalTerms, Phase
from federated.algorithms.personal.fedavg_ft import fedavg_ft
from federated.algorithms.sharing.layers import chosen, parameters_among
from federated.algorithms.travelling import marked


def fedbabu(
    head: list[str] | None = None,
    tuning_epochs: int | None = None,
    tuning_steps: int | None = None,
    server_learning_rate: float = 1.0,
) -> Algorithm:
    """FedAvg of the body; the head is never trained in rounds and is the initial one everywhere, so it is not sent.

    head: layers by name as in `named_parameters()`, such as [fc], by pattern, such as [classifier.*], or by kind, such
        as [linear], where no layer has this name; null: the last layer.
    tuning_epochs: epochs of each client on its own training examples before it is evaluated; null: 1.
    tuning_steps: steps instead; 0: clients are evaluated with the global model.
    server_learning_rate: what the mean update of the body is multiplied by.

    Oh et al. 2022, "FedBABU: Towards Enhanced Representation for Federated Image Classification". For every evaluation
    each client fine-tunes the global model, head and body, and what comes of it is dropped; the report has both models
    side by side. All else of `local` holds for that too, without its schedule. The authors train with a rate of 0 for
    the head and then fine-tune the whole model; they send the head all the same. PFLlib freezes the head and fine-tunes
    once, after the last round, for ten epochs. Running statistics are averaged, also those of the head.
    """
    plain = fedavg_ft(tuning_epochs, tuning_steps, server_learning_rate=server_learning_rate)

    def fit(holdings: Holdings) -> Algorithm:
        named = chosen("head", head, holdings, "nothing would be trained")
        fixed = parameters_among("head", named, holdings.layout)
        body = LocalTerms(phases=(Phase(~marked(holdings.layout, fixed)),))
        return plain._replace(
            terms=lambda state, clients, own: body,
            client=plain.client._replace(fixed=lambda layout: fixed),
        )

    return plain._replace(fit=fit)
