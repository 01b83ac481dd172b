"""The inputs of an engine: the model, the data, its partition, and the local options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from torch import Tensor

from federated.losses import Loss
from federated.models.flat_model import FlatModel
from federated.privacy import PerExample

if TYPE_CHECKING:
    from federated.config.run import LocalTraining


Precision = Literal["float32", "bfloat16"]


class Origin(NamedTuple):
    """The seed of a client's run, and the client's number in it."""

    seed: int
    client: int


class LocalWork(NamedTuple):
    """The arguments of every engine, fixed for a run.

    inputs [N, ...] and targets [N] or [N, outputs] of all examples; clients: the training examples of each.
    precision: bfloat16 for autocast of the model's products; float32 for the types that the model has.
    weights: what the loss of each example is multiplied by, [N]; None: nothing.
    per_example: differentially private steps; None: plain ones.
    micro_batch: the most examples of a batch that go through the model at once; None: all of them.
    origins: whose each client is, where clients of several runs are trained together; None: all are of this one.
    """

    model: FlatModel
    loss: Loss
    inputs: Tensor
    targets: Tensor
    clients: Sequence[np.ndarray]
    local: LocalTraining
    rounds: int
    seed: int
    precision: Precision = "float32"
    weights: Tensor | None = None
    per_example: PerExample | None = None
    micro_batch: int | None = None
    origins: Sequence[Origin] | None = None

    def origin(self, client: int) -> Origin:
        """The key of a client's random numbers: the seed of its run, and its number there."""
        return Origin(self.seed, client) if self.origins is None else self.origins[client]
