"""The conditions and the start of algorithms whose clients remember whole models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Rows, ServerState, Trained
from federated.algorithms.holdings import Holdings, check_no_running_statistics, initial_parameters


def kept_after_steps(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
    """The `finish` of clients that remember what their own steps return, and send nothing beside their updates."""
    assert trained.kept is not None
    return trained.kept, {}


def from_the_initial_model(make: Callable[[Tensor], Algorithm]) -> Algorithm:
    """An algorithm whose clients remember models that begin as the initial one, for which it is made.

    make: initial parameters [T] -> the algorithm. It refuses models with running statistics.
    """

    def fit(holdings: Holdings) -> Algorithm:
        check_no_running_statistics(holdings)
        return make(initial_parameters(holdings))

    return make(torch.zeros(0))._replace(fit=fit)
