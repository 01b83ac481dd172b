"""The conditions and the start of algorithms whose clients remember whole models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Rows, ServerState, Trained
from federated.algorithms.holdings import Holdings


def check_no_running_statistics(holdings: Holdings) -> None:
    """Raise ValueError where a model has some, which would have to be remembered beside its parameters.

    Those of wholly frozen layers never change, and so are no matter.
    """
    if holdings.statistics:
        layer = holdings.statistics[0][0].rpartition(".")[0]
        raise ValueError(f"the model has running statistics, in {layer}; use another normalisation")


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
        named = dict(holdings.model.named_parameters())
        return make(torch.cat([named[name].detach().reshape(-1).clone() for name, _ in holdings.layout]))

    return make(torch.zeros(0))._replace(fit=fit)
