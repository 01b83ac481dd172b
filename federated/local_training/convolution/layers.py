"""The layers of a convolutional network on a batch that lies as rows [features, B], with gradients by hand.

A row is one feature of all examples. So a convolution gathers whole rows into columns and is one product, whose
outputs are rows again: nothing is ever permuted. Buffers are kept from step to step.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from federated.local_training.convolution.of_examples import OfConvolution, OfDense, OfExamples
from federated.local_training.convolution.pooling import WindowMaximum
from federated.local_training.convolution.recognise import Convolution
from federated.local_training.convolution.unfolding import output_rows, unfolding
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


class UnfoldedConvolution:
    """See `Unfolding`. rows: where the inputs' features lie; most: examples at a time."""

    def __init__(
        self, convolution: Convolution, rows: Tensor, parameters: Parameters, most: int, is_first: bool
    ) -> None:
        self._spec, self._parameters, self._is_first = convolution, parameters, is_first
        like = parameters.gradient
        self.num_inputs = len(rows)
        self._table = unfolding(convolution, rows, like.numel())
        self._by_row = torch.argsort(rows)
        self.output_rows = output_rows(convolution)
        table = self._table
        self._matrix = like.new_empty(table.outputs, table.numbers)
        self._of_matrix = like.new_empty(table.numbers, table.outputs)
        width = table.tiles * most
        self._columns_flat = like.new_empty(table.numbers * width)
        self._of_columns_flat = like.new_empty(0 if is_first else table.numbers * width)
        self._pools = convolution.window != (1, 1)
        self._planes_flat = like.new_empty(table.outputs * width if self._pools else 0)
        self._narrow_flat = like.new_empty(
            table.outputs // convolution.window[1] * width if self._pools else 0
        )
        self._outputs = Rows(len(self.output_rows), most, like)
        self._dropped = Rows(len(rows), most, like) if convolution.dropout else None

    def resize(self, num_examples: int, inputs: Tensor) -> Tensor:
        table, window = self._table, self._spec.window
        width = table.tiles * num_examples
        self._inputs = inputs
        self._kept = inputs if self._dropped is None else self._dropped.of(num_examples)
        self._gathered = self._columns_flat[: table.numbers * width].view(-1, num_examples)
        self._columns = self._gathered.view(table.numbers, width)
        self._of_columns = self._of_columns_flat[: 0 if self._is_first else table.numbers * width]
        outputs = self._outputs.of(num_examples)
        self._activated = outputs[:-2]
        if self._pools:
            self._planes = self._planes_flat[: table.outputs * width].view(table.outputs, width)
            narrow = self._narrow_flat[: table.outputs // window[1] * width]
            self._maximum = WindowMaximum(window, self._planes.view(-1), narrow, self._activated.view(-1))
        else:
            self._planes = self._activated.view(table.outputs, width)
        return outputs

    def begin(self) -> None:
        torch.index_select(self._parameters.weights, 0, self._table.matrix, out=self._matrix.view(-1))

    def forward(self, mask: Tensor | None) -> None:
        self._mask = None if mask is None else mask.index_select(0, self._by_row)
        if self._mask is not None:
            torch.mul(self._inputs[:-2], self._mask, out=self._kept[:-2])
        torch.index_select(self._kept, 0, self._table.columns, out=self._gathered)
        torch.mm(self._matrix, self._columns, out=self._planes)
        if self._pools:
            self._maximum.forward()
        activate(self._activated, self._spec.activation)

    def _of_planes(self, errors: Tensor) -> Tensor:
        """The gradient of what the product made, [outputs of a tile, tiles x B]."""
        errors = through(errors, self._activated, self._spec.activation)
        if self._pools:
            self._maximum.backward(errors.view(-1))
            errors = self._planes
        return errors.view(self._planes.shape)

    def backward(self, errors: Tensor, so_far: float) -> Tensor | None:
        errors = self._of_planes(errors)
        # With the longer side first: 120 against 40 GFLOP/s for 16 outputs, on AVX-512.
        self._of_matrix.addmm_(self._columns, errors.T, beta=so_far)
        return self._below(errors)

    def backward_each(self, errors: Tensor) -> tuple[Tensor | None, OfExamples]:
        errors, table = self._of_planes(errors), self._table
        columns = self._columns.view(table.numbers, table.tiles, -1).permute(2, 0, 1)
        of_outputs = errors.view(table.outputs, table.tiles, -1).permute(2, 1, 0)
        copies = torch.bmm(columns, of_outputs).flatten(1).index_select(1, table.gradient.view(-1))
        rows = copies.view(len(copies), *table.gradient.shape).sum(dim=1)
        return self._below(errors), OfConvolution(rows, self._spec.parameters)

    def _below(self, errors: Tensor) -> Tensor | None:
        if self._is_first:
            return None
        of_columns = self._of_columns.view(self._columns.shape)
        torch.mm(self._matrix.T, errors, out=of_columns)
        table = self._table
        below = torch.embedding_bag(of_columns.view(self._gathered.shape), table.sources, table.offsets)[0]
        return below if self._mask is None else below.mul_(self._mask)

    def end(self) -> None:
        copies = self._of_matrix.view(-1).index_select(0, self._table.gradient.view(-1))
        part = self._parameters.gradient[self._spec.parameters]
        torch.sum(copies.view(self._table.gradient.shape), dim=0, out=part)

    def buffers(self) -> list[Tensor]:
        own = [self._matrix, self._of_matrix, self._inputs, self._kept, self._gathered, self._columns]
        own += [self._of_columns, self._planes, self._activated]
        return own + self._maximum.buffers() if self._pools else own


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
