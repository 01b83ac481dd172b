"""Predictions from a model's outputs, in the unit of the targets as they were loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from federated.losses.loss import Link
from federated.preprocessing.readout import predictions_of


@dataclass(frozen=True)
class Readout:
    """Plain values, which are stored beside a model; `predictions_of`, which is logged with it, applies them.

    link: what turns outputs into predictions of what was trained on. scale, shift: a factor for each target and what is
    then added to it, which undo `target.standardise`; None: neither.
    """

    link: Link = "identity"
    scale: tuple[float, ...] | None = None
    shift: tuple[float, ...] | None = None

    def __call__(self, outputs: Tensor) -> Tensor:
        """The predictions [N, outputs], in 64 bits where they are rescaled; of classes their scores."""
        return predictions_of(asdict(self), outputs)

    def standardised(self, targets: Tensor) -> Tensor:
        """Targets [N] or [N, outputs] as the model is trained on them, in 32 bits."""
        if self.scale is None:
            return targets
        scale, shift = (targets.new_tensor(each, dtype=torch.float64) for each in (self.scale, self.shift))
        return ((targets.double().reshape(len(targets), -1) - shift) / scale).reshape(targets.shape).float()
