"""FedNova: clients that take more steps do not count for more."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Need, Rows, ServerState, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale


def fednova(mu: float = 0.0, server_learning_rate: float = 1.0) -> Algorithm:
    """Divide each client's update by how often its steps count, and multiply their mean by the mean of those numbers.

    mu: of a proximal term as in FedProx, whose pull the numbers allow for; it needs local.momentum 0.
    server_learning_rate: what the result is multiplied by.

    Wang et al. 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization": the
    number is that of the steps K without momentum; with local.momentum r, the sum of (1 - r^k) / (1 - r); with mu and
    a learning rate lr, that of (1 - lr mu)^k, and then the mean is of K. Beside the update, a client sends one number.
    Means are by `cohort.weighting` over the cohort; running statistics are averaged as in FedAvg, not scaled. Where
    all take equally many steps it is FedAvg. The bias goes to first order in the learning rate only: at a finite one,
    the fixed point is near the optimum and not at it. The authors' code adds momentum and mu up wrongly, so we refuse
    the two together, and counts no weight decay, nor do we. Their server momentum is left out.
    """
    check_scale("mu", mu, zero=True)
    check_scale("server_learning_rate", server_learning_rate)

    def upload(state: ServerState, own: Rows, trained: Trained) -> Tensor:
        return trained.deltas / _column(_counted(trained, mu), trained)

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        return {}, {"steps": _column(trained.steps if mu else trained.counted, trained)}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        return state, parameters + server_learning_rate * heard.sent["steps"] * heard.update

    return Algorithm(
        init=lambda parameters: {},
        update=update,
        terms=lambda state, clients, own: LocalTerms(proximal=mu),
        client=ClientHalf(finish=finish, sends=("steps",), reads_gradients=True, upload=upload),
        needs=frozenset({Need.NO_MOMENTUM}) if mu else frozenset(),
    )


def _counted(trained: Trained, mu: float) -> np.ndarray:
    """How often the steps of each client count; with a proximal term, each of them shrinks those before."""
    pull = trained.rates * mu
    shrunk: np.ndarray = (1 - (1 - pull) ** trained.steps) / np.where(pull > 0, pull, 1)
    return np.where(pull > 0, shrunk, trained.counted)


def _column(numbers: np.ndarray, trained: Trained) -> Tensor:
    return torch.from_numpy(numbers).to(trained.deltas)[:, None]
