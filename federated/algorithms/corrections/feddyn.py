"""FedDyn: each client's objective gets a linear term that makes the clients' optima meet."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Need, Rows, ServerState, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale


def feddyn(alpha: float = 0.01) -> Algorithm:
    """Clients minimise loss - <g_i, w> + alpha/2 ||w - received||^2, and remember g_i - alpha x update as the next g_i.

    alpha: strength of both terms. Large values hold clients near the received model; small ones move the server by
        h / alpha, of which noise is made large too.

    Acar et al. 2021, "Federated Learning Based on Dynamic Regularization", algorithm 1: the server keeps h, the sum
    over all clients of their g_i by weight, and goes to the mean of the trained models - h / alpha. Updates cost what
    FedAvg's do; every client that has taken part is remembered with a vector. Both sides reckon with the update as it
    was decoded, so h is that sum whatever the compression. The fixed point is the optimum of all clients, by example
    weights too (the authors' code divides alpha by a client's relative size instead). As in the paper, models drift
    where clients take part rarely. Not clipped, other than in the authors' code: both terms. Fluke's rule has another
    sign and scale, and diverges on two quadratics.
    """
    check_scale("alpha", alpha)

    def terms(state: ServerState, clients: object, own: Rows) -> LocalTerms:
        return LocalTerms(proximal=alpha, correction=-own["gradient"])

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        return {"gradient": own["gradient"] - alpha * trained.read}, {}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        total = state["gradient"] - alpha * heard.share * heard.update
        return {"gradient": total}, parameters + heard.update - total / alpha

    client = ClientHalf(lambda c, t: {"gradient": torch.zeros(c, t)}, finish)
    return Algorithm(
        init=lambda parameters: {"gradient": torch.zeros_like(parameters)},
        update=update,
        terms=terms,
        client=client,
        needs=frozenset({Need.SUM, Need.WHOLE_MOVE}),
    )
