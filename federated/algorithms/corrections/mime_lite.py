"""MimeLite: clients step with the server's momentum, which stays as it is during a round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Need, Rows, ServerState, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.server.adaptive import check_decay
from federated.foundation.scales import check_scale


def mime_lite(momentum: float = 0.9, server_learning_rate: float = 1.0) -> Algorithm:
    """Step by (1 - momentum) x gradient + momentum x m, where m is the server's mean of all clients' gradients so far.

    momentum: how much of m stays from round to round, and its share in each step.
    server_learning_rate: what the mean update is multiplied by.

    Karimireddy et al. 2021, "Breaking the centralized barrier for cross-device federated learning" (Mime), algorithm 1
    without the correction of Mime, for SGD with momentum: after a round m = (1 - momentum) x mean gradient + momentum x
    m, with the gradients of all examples of each client of the cohort at the model that it received, weight decay
    included. Clients remember nothing. Both ways carry a second vector, which is counted and goes through the
    codecs of `compression`, biased ones aside, and each client makes a pass over its examples
    besides. The bias of unequal clients shrinks by
    1 - momentum and does not vanish. TFF and FedJAX write m = momentum x m + gradient: their steps are 1 / (1 -
    momentum) times as long at the same learning rate.
    """
    check_decay("momentum", momentum)
    check_scale("server_learning_rate", server_learning_rate)

    def terms(state: ServerState, clients: Sequence[int], own: Rows) -> LocalTerms:
        pull = state["momentum"] * (momentum / (1 - momentum))
        return LocalTerms(correction=pull, rate_factors=np.full(len(clients), 1 - momentum))

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        assert trained.start is not None
        assert trained.start.gradients is not None
        return {}, {"gradient": trained.start.gradients}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        after = (1 - momentum) * heard.sent["gradient"] + momentum * state["momentum"]
        return {"momentum": after}, parameters + server_learning_rate * heard.update

    client = ClientHalf(
        finish=finish, sends=("gradient",), hears=("momentum",), reads_gradients=True, at_start="gradient"
    )
    return Algorithm(
        init=lambda parameters: {"momentum": torch.zeros_like(parameters)},
        update=update,
        terms=terms,
        client=client,
        needs=frozenset({Need.NO_MOMENTUM, Need.NO_CLIPPING, Need.UNBIASED_BESIDE}),
    )
