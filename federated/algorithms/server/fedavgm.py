"""FedAvgM: the server steps by SGD with momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Heard, ServerState
from federated.algorithms.server.adaptive import check_decay
from federated.foundation.scales import check_scale


def fedavgm(server_learning_rate: float = 1.0, momentum: float = 0.9, nesterov: bool = False) -> Algorithm:
    """m = momentum m + D; add server_learning_rate m. D is the mean update.

    server_learning_rate: what m is multiplied by. Updates that stay alike end up 1 / (1 - momentum) times as large, so
        a fair comparison with FedAvg looks for the rate of both.
    momentum: how much of m stays from round to round.
    nesterov: look ahead: add server_learning_rate (D + momentum m) instead.

    Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification";
    torch.optim.SGD's momentum, without dampening. TFF's and FedJAX's rule is the same; Flower's baseline of the paper
    has Nesterov's form, its strategy the plain one.
    """
    check_scale("server_learning_rate", server_learning_rate)
    check_decay("momentum", momentum)
    if nesterov and not momentum:
        raise ValueError("nesterov needs a momentum above 0, got momentum 0")

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        velocity = momentum * state["velocity"] + heard.update
        ahead = heard.update + momentum * velocity if nesterov else velocity
        return {"velocity": velocity}, parameters + server_learning_rate * ahead

    return Algorithm(init=lambda parameters: {"velocity": torch.zeros_like(parameters)}, update=update)
