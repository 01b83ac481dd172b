"""The model and data of a run, as an algorithm that depends on them is given them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from federated.compressors.parts import Layout


class Holdings(NamedTuple):
    """The model and the clients' training examples of a run, of which an algorithm may depend.

    layout: names and shapes of the trainable parameters.
    class_counts: int64 [clients, classes], the training examples of each; None where targets are no classes.
    model: before training; not to be changed.
    statistics: names and shapes of the running statistics that are averaged unless they stay.
    learning_rate: `local.learning_rate`; None where it is not known.
    num_clients: of the run. seed: of the run, for what is drawn before it.
    another: number, from 1 -> the parameters [T] of the same model with other random numbers, at which it could have
        begun as well; None where there is no such.
    """

    layout: Layout
    class_counts: np.ndarray | None
    model: nn.Module
    statistics: Layout = ()
    learning_rate: float | None = None
    num_clients: int = 0
    seed: int = 0
    another: Callable[[int], Tensor] | None = None


def initial_parameters(holdings: Holdings) -> Tensor:
    """The trainable parameters [T] of the run's model before training."""
    named = dict(holdings.model.named_parameters())
    return torch.cat([named[name].detach().reshape(-1).clone() for name, _ in holdings.layout])


def check_no_running_statistics(holdings: Holdings, why: str = "") -> None:
    """Raise ValueError where a model has some, which would have to be remembered beside its parameters.

    Those of wholly frozen layers never change, and so are no matter. why: what the refusal adds.
    """
    if holdings.statistics:
        layer = holdings.statistics[0][0].rpartition(".")[0]
        raise ValueError(f"the model has running statistics, in {layer}{why}; use another normalisation")
