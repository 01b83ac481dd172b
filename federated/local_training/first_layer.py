"""Two ways through the first layer, the widest one, for the few local steps of a block."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from federated.local_training.stacked_dense import StackedDense


class FirstLayer(Protocol):
    """The first layer during a block. `rows` are the examples of a step, among the block's."""

    def outputs(self, rows: slice, num_clients: int) -> Tensor:
        """[c, B, outputs] before the activation, for the first clients."""

    def learn(self, rows: slice, errors: Tensor) -> None:
        """One step of SGD on the rows' errors [c, B, outputs]."""

    def finish(self) -> None:
        """The block is over: the layer's weights are what its steps made of them."""


class Direct:
    """Every step reads and writes the weights. inputs: of the whole block, [c, n, inputs]."""

    def __init__(self, layer: StackedDense, inputs: Tensor) -> None:
        self._layer, self._inputs = layer, inputs

    def outputs(self, rows: slice, num_clients: int) -> Tensor:
        return self._layer.outputs(self._inputs[:num_clients, rows])

    def learn(self, rows: slice, errors: Tensor) -> None:
        self._layer.learn(self._inputs[: len(errors), rows], errors)

    def finish(self) -> None:
        pass


class Dual:
    """The steps of a block by inner products of its examples; the weights are read and written once a block.

    After some steps of plain SGD the weights are W - rate * D^T X, with D the errors of the examples X seen
    since the block began. So X_now W^T costs one wide product before the block and X_now X^T D in each step,
    and what was a product of rank B in every step becomes one of rank n. This is the dual form of the
    perceptron (Aizerman et al. 1964), exact, for a few steps at a time. A bias is one more input, always 1.
    """

    def __init__(self, layer: StackedDense, inputs: Tensor) -> None:
        self._layer, self._inputs = layer, inputs
        self._rate = float(layer.rule.rate)
        self._start = layer.outputs(inputs)
        self._products = torch.bmm(inputs, inputs.transpose(1, 2))
        if layer.dense.bias is not None:
            self._products += 1
        self._errors = torch.zeros_like(self._start)

    def outputs(self, rows: slice, num_clients: int) -> Tensor:
        start = self._start[:num_clients, rows]
        if not rows.start:
            return start
        before = self._errors[:num_clients, : rows.start]
        return torch.baddbmm(
            start, self._products[:num_clients, rows, : rows.start], before, alpha=-self._rate
        )

    def learn(self, rows: slice, errors: Tensor) -> None:
        self._errors[: len(errors), rows] = errors

    def finish(self) -> None:
        self._layer.keep(len(self._inputs))
        self._layer.learn(self._inputs, self._errors)
