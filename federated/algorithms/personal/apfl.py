"""APFL: each client answers with a mixture of the global model and one of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import (
    Algorithm,
    ClientHalf,
    Need,
    Personal,
    Tensors,
)
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.own_steps import OwnSteps, Walk
from federated.algorithms.personal.whole_model import from_the_initial_model, kept_after_steps


def apfl(alpha: float = 0.5, adaptive: bool = True, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg, beside which each client trains v such that alpha v + (1 - alpha) w suits it. The loop alone trains it.

    alpha: the share of a client's own model in its mixture; where it adapts, the first one.
    adaptive: alpha takes a gradient step at each client's first batch of a round, and stays between 0 and 1.
    server_learning_rate: what the mean update is multiplied by.

    Deng, Kamani and Mahdavi 2020, "Adaptive Personalized Federated Learning", algorithm 1: in every step, with the
    mixture m = alpha v + (1 - alpha) w of the models before it and on the same batch, w <- w - rate grad(w) and
    v <- v - rate alpha grad(m); alpha <- alpha - rate <v - w, grad(m)>. The global path is FedAvg's. v begins as the
    initial model; a client answers with the mixture of v and the model that it would receive. The authors' code
    mixes outputs instead of parameters and takes alpha's gradient of both models, with a decay of .02 alpha; FedJAX has
    no factor alpha in v's step and an alpha for each layer; PFLlib takes v's gradient at v and overwrites v by the
    mixture. Costs twice FedAvg's local training. `local.momentum` must be 0.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")

    def take(walk: Walk) -> tuple[Tensor, Tensors]:
        w, v, share = walk.start, walk.own["personal"], walk.own["alpha"]
        for at, batch in enumerate(walk.batches):
            mixed = share * v + (1 - share) * w
            down = walk.gradient(w, batch)
            towards = walk.gradient(mixed, batch)
            turn = (v - w) @ towards
            w, v = w.sub(down, alpha=walk.rate), v - walk.rate * share * towards
            if adaptive and at == 0:
                share = (share - walk.rate * turn).clamp(0, 1)
        return w, {"personal": v, "alpha": share}

    def made(initial: Tensor) -> Algorithm:
        client = ClientHalf(
            lambda c, t: {
                "personal": initial.expand(c, -1) if len(initial) else torch.zeros(c, t),
                "alpha": torch.full((c, 1), alpha),
            },
            kept_after_steps,
            personal=Personal(lambda state, received, own: _mixture(received, own)),
        )
        return fedavg(server_learning_rate)._replace(
            terms=lambda state, clients, own: LocalTerms(own_steps=OwnSteps(take, own)),
            client=client,
            needs=frozenset({Need.LOOP, Need.NO_MOMENTUM, Need.OWN_STEPS}),
        )

    return from_the_initial_model(made)


def _mixture(received: Tensor, own: Tensors) -> Tensor:
    share = own["alpha"].to(received)
    return share * own["personal"].to(received) + (1 - share) * received
