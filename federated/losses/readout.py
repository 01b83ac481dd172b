"""Predictions from a model's outputs, in the unit of the targets as they were loaded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federated.losses.loss import Link


@dataclass(frozen=True)
class Readout:
    """Plain values, which can be stored beside a model.

    link: what turns outputs into predictions of what was trained on. scale, shift: a factor for each target and what is
    then added to it, which undo `target.standardise`; None: neither.
    """

    link: Link = "identity"
    scale: tuple[float, ...] | None = None
    shift: tuple[float, ...] | None = None

    @property
    def is_identity(self) -> bool:
        """Whether predictions are the outputs."""
        return self.link == "identity" and self.scale is None

    def __call__(self, outputs: Tensor) -> Tensor:
        """The predictions [N, outputs], in 64 bits where they are rescaled; of classes their scores."""
        found = outputs.exp() if self.link == "exp" else outputs
        if self.scale is None:
            return found
        scale, shift = (found.new_tensor(each, dtype=torch.float64) for each in (self.scale, self.shift))
        return found.double() * scale + shift

    def standardised(self, targets: Tensor) -> Tensor:
        """Targets [N] or [N, outputs] as the model is trained on them, in 32 bits."""
        if self.scale is None:
            return targets
        scale, shift = (targets.new_tensor(each, dtype=torch.float64) for each in (self.scale, self.shift))
        return (
            ((targets.double().reshape(len(targets), -1) - shift) / scale).reshape(targets.shape).to(targets)
        )

    def predicting(self, module: nn.Module) -> nn.Module:
        """A module that returns predictions as 32-bit floats; the module itself where these are its outputs."""
        return module if self.is_identity else Predicting(module, self)


class Predicting(nn.Module):
    """A module whose outputs are read as predictions."""

    def __init__(self, module: nn.Module, readout: Readout) -> None:
        super().__init__()
        self.module, self.exponential = module, readout.link == "exp"
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.tensor(readout.scale or (1.0,)))
        self.register_buffer("shift", torch.tensor(readout.shift or (0.0,)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions [B, outputs]."""
        outputs: Tensor = self.module(inputs)
        found = outputs.exp() if self.exponential else outputs
        return found * self.scale + self.shift
