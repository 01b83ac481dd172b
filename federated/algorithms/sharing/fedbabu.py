"""FedBABU: the body alone is trained, under a head that stays as it was at first; clients fit theirs afterwards."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm, ClientHalf, Holdings
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms, Phase
from federated.algorithms.sharing.layers import chosen, parameters_among
from federated.algorithms.travelling import marked


def fedbabu(head: list[str] | None = None, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg of the body; the head is never trained in rounds and is the initial one everywhere, so it is not sent.

    head: layers by name as in `named_parameters()`, such as [fc], by pattern, such as [classifier.*], or by kind, such
        as [linear], where no layer has this name; null: the last layer.
    server_learning_rate: what the mean update of the body is multiplied by.

    Oh et al. 2022, "FedBABU: Towards Enhanced Representation for Federated Image Classification". In training it is a
    global model like that of fedavg. For personal models each client fine-tunes it, head and body, for the epochs or
    steps of `evaluation.personalisation`; the report has both side by side. The authors train with a rate of 0 for
    the head and then fine-tune the whole model; they send the head all the same. PFLlib freezes the head and fine-tunes
    for ten epochs. Running statistics are averaged, also those of the head.
    """

    def fit(holdings: Holdings) -> Algorithm:
        named = chosen("head", head, holdings, "nothing would be trained")
        fixed = parameters_among("head", named, holdings.layout)
        body = LocalTerms(phases=(Phase(~marked(holdings.layout, fixed)),))
        return plain._replace(
            terms=lambda state, clients, own: body, client=ClientHalf(fixed=lambda layout: fixed)
        )

    plain = fedavg(server_learning_rate)
    return plain._replace(fit=fit)
