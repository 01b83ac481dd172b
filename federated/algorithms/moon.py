"""MOON: representations are drawn to those of the received model and away from the client's own last ones."""

from __future__ import annotations

import torch

from federated.algorithms.algorithm import Algorithm, ClientHalf, Need, Rows, ServerState, Trained
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings, check_no_running_statistics
from federated.algorithms.local_terms import Contrast, LocalTerms
from federated.foundation.scales import check_scale
from federated.models.representation import representation_of
from federated.trained.part import is_within


def moon(mu: float = 1.0, temperature: float = 0.5, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg whose clients add mu times a contrast of representations to their loss. Trained by the loop alone.

    mu: strength of the contrast; the paper looks among .1, 1, 5 and 10. 0 is FedAvg.
    temperature: what cosines are divided by.
    server_learning_rate: what the mean update is multiplied by.

    Li et al. 2021, "Model-Contrastive Federated Learning": with the cosines a and b of an example's representation with
    that of the received model and that of the client's own model after its last turn, over temperature, the contrast is
    -log(e^a / (e^a + e^b)). Before its first turn a client has none. The representation is the output of the module
    that the model names in an attribute `representation`, such as the paper's projection head; else the input of
    its last layer, a dense one. The other two models are in evaluation mode, and each step takes three forward passes.
    `train/loss` leaves the contrast out, as that of fedprox its term.
    A client's model is remembered; nothing more is sent. Models with running statistics are refused, which would have
    to be remembered too. The authors' momentum of .9 is `local.momentum`.
    """
    check_scale("mu", mu, zero=True)
    check_scale("temperature", temperature)

    def terms(state: ServerState, clients: object, own: Rows) -> LocalTerms:
        known = (own["turns"][:, 0] > 0).cpu().numpy() & (mu > 0)
        return LocalTerms(contrast=Contrast(mu, temperature, own["model"], known))

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        return {"model": trained.received + trained.deltas, "turns": own["turns"] + 1}, {}

    client = ClientHalf(lambda c, t: {"model": torch.zeros(c, t), "turns": torch.zeros(c, 1)}, finish)
    made = fedavg(server_learning_rate)._replace(terms=terms, client=client, needs=frozenset({Need.LOOP}))

    def fit(holdings: Holdings) -> Algorithm:
        place = representation_of(holdings.model)
        if all(place.side == "input" and is_within(name, place.module) for name, _ in holdings.layout):
            raise ValueError(
                f"only {place.module} is trained, which comes after the representation, so that no contrast could "
                "change it; train more of the model, or use fedavg"
            )
        check_no_running_statistics(holdings)
        return made

    return made._replace(fit=fit)
