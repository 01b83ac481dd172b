"""SCAFFOLD: control variates correct the drift of clients whose data differ."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Need, Rows, ServerState, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale


def scaffold(server_learning_rate: float = 1.0, option: Literal[1, 2] = 2) -> Algorithm:
    """Add c - c_i to every local gradient: what all clients' gradients are in the mean, less what this client's are.

    server_learning_rate: what the mean update is multiplied by.
    option: 2: a client's new c_i is c_i + (received - trained) / (rate x steps) - c; 1: the gradient of all of its
        examples at the received model, for which it makes a pass over them besides.

    Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", algorithm 1: after its
    steps a client has a new c_i, and the server adds the mean of the changes times the cohort's share of all clients.
    All start at zero. The paper's experiments use option 2; pfl-research's default is 1, as 2 can be unstable. With
    momentum we divide by how far the steps reach and not by their number, else c_i grows without end, as the
    correction is part of the gradient that momentum gathers. Means and share have the same weights: with
    `cohort.weighting: examples` the paper's plain mean of the variates would lead to another optimum than the
    updates', and its plain share to one that depends on who was drawn. Option 2 reads a client's move as its
    gradients, so its local optimiser must be sgd. Both ways carry a second vector, which is counted and goes through
    the codecs of `compression`; every client that has taken part is remembered with one. Where the codec loses
    something, a client moves its c_i by what the server reads, so that the server's c stays their mean, and sends the
    rest with its next change (as DIANA does, Mishchenko et al. 2019); codecs that are biased, or lose more than they
    are given, are refused.
    """
    check_scale("server_learning_rate", server_learning_rate)

    def init(parameters: Tensor) -> ServerState:
        return {"variate": torch.zeros_like(parameters)}

    def terms(state: ServerState, clients: object, own: Rows) -> LocalTerms:
        return LocalTerms(correction=state["variate"] - own["variate"])

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        if trained.start is not None and trained.start.gradients is not None:
            after = trained.start.gradients
            return {"variate": after}, {"variate": after - own["variate"]}
        reach = torch.from_numpy(trained.reach).to(trained.deltas)[:, None]
        after = own["variate"] - state["variate"] - trained.deltas / reach
        after = torch.where(
            reach > 0, after, own["variate"]
        )  # with a learning rate of zero nothing was learnt
        return {"variate": after}, {"variate": after - own["variate"]}

    def settle(kept: Rows, sent: Rows, read: Rows) -> Rows:
        return {"variate": kept["variate"] + (read["variate"] - sent["variate"])}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        variate = state["variate"] + heard.share * heard.sent["variate"]
        return {"variate": variate}, parameters + server_learning_rate * heard.update

    client = ClientHalf(
        lambda c, t: {"variate": torch.zeros(c, t)},
        finish,
        ("variate",),
        ("variate",),
        reads_gradients=option == 2,
        at_start="gradient" if option == 1 else "nothing",
        settle=settle,
    )
    needs = frozenset({Need.UNBIASED_BESIDE, *([Need.NO_CLIPPING] if option == 1 else [])})
    return Algorithm(init, update, terms, client=client, needs=needs)
