"""Ditto: beside FedAvg, each client trains a model of its own that is held near the global one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.algorithm import (
    Algorithm,
    ClientHalf,
    Personal,
    Rows,
    Second,
    ServerState,
    Trained,
)
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.personal.whole_model import from_the_initial_model
from federated.foundation.scales import check_scale


def ditto(lam: float = 1.0, steps: int | None = None, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg, beside which each client trains a personal model with lam/2 ||v - received||^2 in its loss.

    lam: how strongly the personal model v is held near the received one; 0: each client trains alone.
    steps: of the personal model in a round; null: as many as of the global one.
    server_learning_rate: what the mean update is multiplied by.

    Li et al. 2021, "Ditto: Fair and Robust Federated Learning Through Personalization", algorithm 1: in each round in
    which a client takes part, v goes on from where it was, v <- v - rate (gradient of the loss at v + lam (v -
    received)). The global path is FedAvg's to the bit, and nothing more is sent. Personal models begin as the initial
    model; both trainings take the same batches, rate, momentum and decay, one after the other. The authors' code takes
    them in turn, step by step, and can choose lam for each client on validation examples; here it is one for all.
    Costs twice FedAvg's local training. Models with running statistics are refused.
    """
    check_scale("lam", lam, zero=True)
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")

    def second(state: ServerState, own: Rows, received: Tensor) -> Second:
        start = own["personal"]
        count = None if steps is None else np.full(len(start), steps)
        return Second(start, LocalTerms(proximal=lam, anchor=received, steps=count))

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        assert trained.second is not None
        return {"personal": own["personal"] + trained.second}, {}

    def made(initial: Tensor) -> Algorithm:
        client = ClientHalf(
            lambda c, t: {"personal": initial.expand(c, -1) if len(initial) else torch.zeros(c, t)},
            finish,
            second=second,
            personal=Personal(lambda state, received, own: own["personal"]),
        )
        return fedavg(server_learning_rate)._replace(client=client)

    return from_the_initial_model(made)
