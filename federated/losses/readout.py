"""Predictions from a model's outputs, in the unit of the targets as they were loaded."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from federated.losses.loss import Link


@dataclass(frozen=True)
class Readout:
    """Plain values, which can be stored beside a model.

    link: what turns outputs into predictions of what was trained on.
    """

    link: Link = "identity"

    def __call__(self, outputs: Tensor) -> Tensor:
        """The predictions [N, outputs] of outputs; of classes and labels their scores, as they are."""
        return outputs.exp() if self.link == "exp" else outputs
