"""The layers of a convolutional network on a batch that lies as rows [features, B], with gradients by hand.

A row is one feature of all examples. So a convolution gathers whole rows into columns and is matrix products, whose
outputs are rows again: nothing is ever permuted. Buffers are kept from step to step.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from federated.local_training.convolution.of_examples import OfDense, OfExamples
from federated.local_training.dense.activations import activate, through
from federated.local_training.dense.recognise import Dense


class Parameters:
    """One client's. weights [P + 1], with a zero at the end; gradient [P]."""

    def __init__(self, like: Tensor) -> None:
        self.weights = like.new_zeros(like.numel() + 1)
        self.gradient = torch.zeros_like(like)


class Layer(Protocol):
    """A layer of num_inputs features."""

    num_inputs: int

    def resize(self, num_examples: int, inputs: Tensor) -> Tensor:
        """Make ready for so many examples; inputs [features + 2, B] -> where the outputs will be, likewise."""

    def begin(self) -> None:
        """The weights have changed."""

    def forward(self, mask: Tensor | None) -> None:
        """From the inputs to the outputs. mask: of the inputs, [features, B] in torch's order."""

    def backward(self, errors: Tensor, so_far: float) -> Tensor | None:
        """The gradient of the outputs, which is used up -> that of the inputs, where it is needed.

        That of the parameters is added to so_far (0 or 1) times what was there.
        """

    def backward_each(self, errors: Tensor) -> tuple[Tensor | None, OfExamples]:
        """The same, with the parameters' gradient of each example by itself; valid until the next batch."""

    def end(self) -> None:
        """The gradient is complete: write it into the flat vector."""

    def buffers(self) -> list[Tensor]:
        """All that is written into, but for the flat vectors."""


class Rows:
    """A batch of at most `most` examples as rows [features + 2, B], then a row of zeros and one of ones."""

    def __init__(self, num_features: int, most: int, like: Tensor) -> None:
        self._shape, self._flat = num_features + 2, like.new_empty((num_features + 2) * most)

    def of(self, num_examples: int) -> Tensor:
        rows = self._flat[: self._shape * num_examples].view(self._shape, num_examples)
        rows[-2], rows[-1] = 0, 1
        return rows


class DenseRows:
    """A dense layer. Its inputs lie in torch's order."""

    def __init__(self, dense: Dense, parameters: Parameters, most: int) -> None:
        self._spec, self.num_inputs = dense, dense.inputs
        shape = (dense.outputs, dense.inputs)
        self._weight, self._of_weight = (
            flat[dense.weight].view(shape) for flat in (parameters.weights, parameters.gradient)
        )
        bias = dense.bias or slice(0, 0)
        self._bias, self._of_bias = parameters.weights[bias], parameters.gradient[bias]
        like = parameters.gradient
        self._outputs = Rows(dense.outputs, most, like)
        self._below_flat = like.new_empty(dense.inputs * most)

    def resize(self, num_examples: int, inputs: Tensor) -> Tensor:
        self._inputs, self._ones = inputs[:-2], inputs[-1]
        outputs = self._outputs.of(num_examples)
        self._activated = outputs[:-2]
        self._below = self._below_flat[: self._inputs.numel()].view(self._inputs.shape)
        return outputs

    def begin(self) -> None:
        """The weights are used as they are."""

    def forward(self, mask: Tensor | None) -> None:
        self._mask = mask
        self._kept = self._inputs if mask is None else self._inputs * mask
        if self._spec.bias is None:
            torch.mm(self._weight, self._kept, out=self._activated)
        else:
            torch.addmm(self._bias[:, None], self._weight, self._kept, out=self._activated)
        activate(self._activated, self._spec.activation)

    def backward(self, errors: Tensor, so_far: float) -> Tensor | None:
        errors = through(errors, self._activated, self._spec.activation)
        self._of_weight.addmm_(errors, self._kept.T, beta=so_far)
        if self._spec.bias is not None:
            self._of_bias.addmv_(errors, self._ones, beta=so_far)
        return self._below_of(errors)

    def backward_each(self, errors: Tensor) -> tuple[Tensor | None, OfExamples]:
        errors = through(errors, self._activated, self._spec.activation)
        return self._below_of(errors), OfDense(self._spec, self._kept.T, errors.T)

    def _below_of(self, errors: Tensor) -> Tensor:
        below = torch.mm(self._weight.T, errors, out=self._below)
        return below if self._mask is None else below.mul_(self._mask)

    def end(self) -> None:
        """The gradient is in the flat vector already."""

    def buffers(self) -> list[Tensor]:
        return [self._inputs, self._activated, self._below, self._of_weight, self._of_bias]
