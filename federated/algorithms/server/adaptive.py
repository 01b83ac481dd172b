"""The step that FedAdagrad, FedAdam and FedYogi share: momentum over the root of a sum of squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Heard, ServerState
from federated.foundation.scales import check_scale

Squares = Callable[[Tensor, Tensor], Tensor]
"""(squares remembered [T], squares of the mean update [T]) -> the squares to remember [T]."""


class Correction(NamedTuple):
    """The decay of both means, which divides them by 1 - decay^rounds, as they start at zero."""

    beta1: float
    beta2: float


def adaptive(
    server_learning_rate: float,
    beta1: float,
    tau: float,
    squares: Squares,
    correction: Correction | None = None,
) -> Algorithm:
    """m = beta1 m + (1 - beta1) D; v by `squares`; add server_learning_rate m / (sqrt(v) + tau). D: the mean update.

    v starts at tau^2, or at zero where it is corrected. Reddi et al. 2021, algorithm 2.
    """
    check_scale("server_learning_rate", server_learning_rate)
    check_decay("beta1", beta1)
    check_scale("tau", tau)

    def init(parameters: Tensor) -> ServerState:
        if correction is None:
            return {"mean": torch.zeros_like(parameters), "square": torch.full_like(parameters, tau**2)}
        zero = torch.zeros_like(parameters)
        return {"mean": zero, "square": zero.clone(), "rounds": torch.zeros((), dtype=torch.int64)}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        mean = beta1 * state["mean"] + (1 - beta1) * heard.update
        square = squares(state["square"], heard.update.square())
        after, first, second = {"mean": mean, "square": square}, mean, square
        if correction is not None:
            after["rounds"] = state["rounds"] + 1
            rounds = int(after["rounds"])
            first = mean / (1 - correction.beta1**rounds)
            second = square / (1 - correction.beta2**rounds)
        return after, parameters + server_learning_rate * first / (second.sqrt() + tau)

    return Algorithm(init, update)


def check_decay(name: str, decay: float) -> None:
    """Raise ValueError, naming the argument, where it is no share of what is remembered that stays."""
    if not 0 <= decay < 1:
        raise ValueError(f"{name} must be a number from 0 to below 1, got {decay}")
