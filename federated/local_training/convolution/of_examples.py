"""The gradients of single examples in the parameters of a layer: their norms, and their sum once they are bounded."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from federated.local_training.by_example.dense import squared_norms
from federated.local_training.by_example.noise import without_lost
from federated.local_training.dense.recognise import Dense


class OfExamples(Protocol):
    """The gradients of B examples in a layer's parameters."""

    def squares(self, moves: Tensor | None) -> Tensor:
        """Their squared norms [B]. moves: 1 for a parameter that moves and 0 for another, [P], or None: all move."""

    def add_to(self, gradient: Tensor, shares: Tensor) -> None:
        """Add their sum, each times its share [B], to the flat gradient [P]; one whose share is 0 is not looked at."""


class OfConvolution(NamedTuple):
    """Of a convolution, of which each is made: a few weights that many places share. rows: [B, p]."""

    rows: Tensor
    parameters: slice

    def squares(self, moves: Tensor | None) -> Tensor:
        moving = self.rows if moves is None else self.rows * moves[self.parameters]
        return moving.square().sum(dim=1)

    def add_to(self, gradient: Tensor, shares: Tensor) -> None:
        gradient[self.parameters] += shares @ without_lost(self.rows, shares)


class OfDense(NamedTuple):
    """Of a dense layer, of which each is the product of its errors [B, outputs] and inputs [B, inputs]."""

    spec: Dense
    inputs: Tensor
    errors: Tensor

    def squares(self, moves: Tensor | None) -> Tensor:
        return squared_norms(self.spec, self.inputs[None], self.errors[None], moves)[0]

    def add_to(self, gradient: Tensor, shares: Tensor) -> None:
        bounded = without_lost(self.errors, shares) * shares[:, None]
        weight = gradient[self.spec.weight].view(self.spec.outputs, self.spec.inputs)
        weight.addmm_(bounded.T, without_lost(self.inputs, shares))
        if self.spec.bias is not None:
            gradient[self.spec.bias] += bounded.sum(dim=0)
