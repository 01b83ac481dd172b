"""A convolution on a batch of rows, as matrix products of what it gathers (im2col), with gradients by hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.local_training.convolution.layers import Parameters, Rows
from federated.local_training.convolution.of_examples import OfConvolution, OfExamples
from federated.local_training.convolution.pooling import WindowMaximum
from federated.local_training.convolution.recognise import Convolution
from federated.local_training.convolution.unfolding import output_rows, unfolding
from federated.local_training.dense.activations import activate, through


class UnfoldedConvolution:
    """See `Unfolding`. rows: where the inputs' features lie; most: examples at a time."""

    def __init__(
        self, convolution: Convolution, rows: Tensor, parameters: Parameters, most: int, is_first: bool
    ) -> None:
        self._spec, self._parameters, self._is_first = convolution, parameters, is_first
        like = parameters.gradient
        self.num_inputs = len(rows)
        self._table = unfolding(convolution, rows, like.numel(), most)
        self._by_row = torch.argsort(rows)
        self.output_rows = output_rows(convolution)
        table = self._table
        self._matrix = like.new_empty(table.outputs // table.parts, table.numbers)
        self._of_matrix = like.new_empty(self._matrix.shape[::-1])
        flats = parameters.weights, parameters.gradient
        self._bias, self._of_bias = (flat[convolution.bias_parameters] for flat in flats)
        width, strips = table.tiles * most, len(table.strips) * most
        self._ones = like.new_ones(width)
        self._strips_flat = like.new_empty(strips)
        self._of_strips_flat = like.new_empty(0 if is_first else strips)
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
        self._gathered, self._columns = self._in_strips(self._strips_flat, num_examples)
        outputs = self._outputs.of(num_examples)
        self._activated = outputs[:-2]
        if self._pools:
            planes = self._planes_flat[: table.outputs * width]
            narrow = self._narrow_flat[: table.outputs // window[1] * width]
            self._maximum = WindowMaximum(window, planes, narrow, self._activated.view(-1))
        else:
            planes = self._activated.view(-1)
        self._of_products = table.by_product(planes)
        if not self._is_first:
            self._of_gathered, self._of_columns = self._in_strips(self._of_strips_flat, num_examples)
        return outputs

    def _in_strips(self, flat: Tensor, num_examples: int) -> tuple[Tensor, list[Tensor]]:
        """(all numbers of the strips as rows, those of each product [K, strips x B]) in this memory."""
        table = self._table
        rows = flat[: len(table.strips) * num_examples].view(-1, num_examples)
        strips = rows.view(-1, table.num_strips * num_examples)
        return rows, [strips[part] for part in table.columns]

    def begin(self) -> None:
        torch.index_select(self._parameters.weights, 0, self._table.matrix, out=self._matrix.view(-1))

    def forward(self, mask: Tensor | None) -> None:
        self._mask = None if mask is None else mask.index_select(0, self._by_row)
        if self._mask is not None:
            torch.mul(self._inputs[:-2], self._mask, out=self._kept[:-2])
        torch.index_select(self._kept, 0, self._table.strips, out=self._gathered)
        for columns, outputs in zip(self._columns, self._of_products, strict=True):
            torch.mm(self._matrix, columns, out=outputs)
        if self._pools:
            self._maximum.forward()
        if self._spec.has_bias:  # the largest of some numbers plus a constant: the constant can come after it
            self._by_channel(self._activated).add_(self._bias[:, None])
        activate(self._activated, self._spec.activation)

    def _by_channel(self, rows: Tensor) -> Tensor:
        """The outputs' rows [outputs of a tile / channels, channels, numbers]."""
        channels = self._spec.outputs[0]
        return rows.view(-1, channels, self._table.tiles * rows.shape[1])

    def backward(self, errors: Tensor, so_far: float) -> Tensor | None:
        errors = through(errors, self._activated, self._spec.activation)
        if self._spec.has_bias:
            self._add_of_bias(errors, so_far)
        products = self._before_pooling(errors)
        # With the longer side first: 120 against 40 GFLOP/s for 16 outputs, on AVX-512.
        for columns, product in zip(self._columns, products, strict=True):
            self._of_matrix.addmm_(columns, product.T, beta=so_far)
            so_far = 1.0
        return self._below(products)

    def _add_of_bias(self, errors: Tensor, so_far: float) -> None:
        for part in self._by_channel(errors).unbind():
            self._of_bias.addmv_(part, self._ones[: part.shape[1]], beta=so_far)
            so_far = 1.0

    def _before_pooling(self, errors: Tensor) -> list[Tensor]:
        """The gradients of what each product made, [M, strips x B]; errors: of the outputs before activation."""
        if not self._pools:
            return self._table.by_product(errors)
        self._maximum.backward(errors.view(-1))
        return self._of_products

    def backward_each(self, errors: Tensor) -> tuple[Tensor | None, OfExamples]:
        errors, table = through(errors, self._activated, self._spec.activation), self._table
        of_bias = self._by_example(self._by_channel(errors)).sum(dim=(1, 3))
        products = self._before_pooling(errors)
        columns = self._by_example(torch.stack(self._columns)).transpose(1, 2).flatten(2)
        of_outputs = self._by_example(torch.stack(products)).permute(0, 1, 3, 2).flatten(1, 2)
        copies = torch.bmm(columns, of_outputs).flatten(1).index_select(1, table.gradient.view(-1))
        rows = copies.view(len(copies), *table.gradient.shape).sum(dim=1)
        rows = torch.cat([rows, of_bias], dim=1) if self._spec.has_bias else rows
        return self._below(products), OfConvolution(rows, self._spec.parameters)

    def _by_example(self, numbers: Tensor) -> Tensor:
        """[a, b, n x B] -> [B, a, b, n]."""
        return numbers.view(*numbers.shape[:2], -1, self._inputs.shape[1]).permute(3, 0, 1, 2)

    def _below(self, products: Sequence[Tensor]) -> Tensor | None:
        """The gradient of the inputs from those of what the products made."""
        if self._is_first:
            return None
        if len(products) == 1:
            torch.mm(self._matrix.T, products[0], out=self._of_columns[0])
        else:
            self._of_gathered.zero_()
            for of_columns, product in zip(self._of_columns, products, strict=True):
                of_columns.addmm_(self._matrix.T, product)
        below = torch.embedding_bag(self._of_gathered, self._table.sources, self._table.offsets)[0]
        return below if self._mask is None else below.mul_(self._mask)

    def end(self) -> None:
        copies = self._of_matrix.view(-1).index_select(0, self._table.gradient.view(-1))
        part = self._parameters.gradient[self._spec.kernel_parameters]
        torch.sum(copies.view(self._table.gradient.shape), dim=0, out=part)

    def buffers(self) -> list[Tensor]:
        own = [self._matrix, self._of_matrix, self._bias, self._of_bias, self._inputs, self._kept]
        own += [self._gathered, *self._columns, *self._of_products, self._activated]
        own += [] if self._is_first else [self._of_gathered, *self._of_columns]
        return own + self._maximum.buffers() if self._pools else own
