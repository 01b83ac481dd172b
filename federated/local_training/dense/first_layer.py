"""Two ways through the first layer, the widest one, for the few local steps of a block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from federated.local_training.dense.layer import StackedDense, first
from federated.local_training.steps.scratch import Scratch
from federated.machine.torch_threads import team


class FirstLayer(Protocol):
    """The first layer during a block."""

    def outputs(self, step: int, num_clients: int) -> Tensor:
        """[c, B, outputs] before the activation, for the first clients."""

    def learn(self, step: int, errors: Tensor) -> None:
        """One step of SGD on the errors [c, B, outputs]."""

    def finish(self) -> None:
        """The block is over: the layer's weights are what its steps made of them."""


class Direct:
    """Every step reads and writes the weights. inputs: of the whole block, [c, S x B, width]; batch: B."""

    def __init__(self, layer: StackedDense, inputs: Tensor, batch: int) -> None:
        self._layer, self._inputs = layer, torch.split(inputs, batch, dim=1)

    def outputs(self, step: int, num_clients: int) -> Tensor:
        return self._layer.outputs(first(self._inputs[step], num_clients))

    def learn(self, step: int, errors: Tensor) -> None:
        self._layer.learn(first(self._inputs[step], len(errors)), errors)

    def finish(self) -> None:
        pass


class Dual:
    """The steps of a block by inner products of its examples; the weights are read and written once a block.

    After some steps of plain SGD the weights are W - rate * D^T X, with D the errors of the examples X seen
    since the block began. So X_now W^T costs one wide product before the block and X_now X^T D in each step,
    and what was a product of rank B in every step becomes one of rank n. This is the dual form of the
    perceptron (Aizerman et al. 1964), exact, for a few steps at a time. Where each step also keeps a share a of the
    weights and adds a shift S, they are a^k W - rate * (a^.. D)^T X - rate * (1 + a + ... + a^(k-1)) S, which costs one
    more wide product.
    """

    def __init__(
        self, layer: StackedDense, inputs: Tensor, batch: int, active: Sequence[int], scratch: Scratch
    ) -> None:
        """active: clients that take each step of the block."""
        self._layer, self._inputs, self._active = layer, inputs, active
        # Both factors of a product of examples are unscaled.
        self._rate = float(layer.rule.rate) * layer.scale**2
        clients, count, _ = inputs.shape
        start = layer.outputs(inputs)
        if not layer.rule.is_plain:
            self._carried(start, batch)
        self._start = torch.split(start, batch, dim=1)
        # A step needs its products with the steps before it, not with itself or later ones.
        with team(layer.threads, clients):
            products = torch.bmm(inputs[:, batch:], inputs[:, : count - batch].transpose(1, 2))
        rows = torch.split(products, batch, dim=1)
        self._products = [row[..., : step * batch] for step, row in enumerate(rows, start=1)]
        self._errors = scratch("dual errors", inputs, clients, count, layer.dense.outputs).zero_()
        self._now = torch.split(self._errors, batch, dim=1)
        self._before = [self._errors[:, : step * batch] for step in range(1, len(self._now))]

    def outputs(self, step: int, num_clients: int) -> Tensor:
        start = first(self._start[step], num_clients)
        if not step:
            return start
        products, before = (
            first(self._products[step - 1], num_clients),
            first(self._before[step - 1], num_clients),
        )
        with team(self._layer.threads, num_clients):
            return torch.baddbmm(start, products, before, alpha=-self._rate)

    def learn(self, step: int, errors: Tensor) -> None:
        if step and self._layer.rule.decay:
            first(self._before[step - 1], len(errors)).mul_(self._layer.rule.kept)
        first(self._now[step], len(errors)).copy_(errors)

    def finish(self) -> None:
        still = self._layer.num_clients
        self._layer.keep(len(self._inputs))
        if self._layer.rule.is_plain:
            self._layer.learn(self._inputs, self._errors)
        else:
            taken = [sum(now > row for now in self._active) for row in range(len(self._inputs))]
            self._layer.leap(self._inputs, self._errors, *self._after(taken))
        self._layer.keep(still)

    def _carried(self, start: Tensor, batch: int) -> None:
        """Make of the outputs before the block, in place, what decay and shift alone make of them before each step."""
        kept, moved = self._after(range(len(self._active)))
        if self._layer.rule.decay:
            start.mul_(kept.repeat_interleave(batch).view(1, -1, 1))
        if (shifted := self._layer.shifted(self._inputs)) is not None:
            moved = moved.repeat_interleave(batch).view(1, -1, 1)
            start.addcmul_(shifted, moved, value=-float(self._layer.rule.rate))

    def _after(self, taken: Iterable[int]) -> tuple[Tensor, Tensor]:
        """After so many steps: the share of the weights that is kept, and how often the shift counts."""
        most, kept = len(self._active), self._layer.rule.kept
        powers = kept ** np.arange(most + 1)
        sums = np.concatenate([[0.0], np.cumsum(powers[:-1])])
        at = list(taken)
        return tuple(torch.from_numpy(values[at]).to(self._inputs) for values in (powers, sums))  # type: ignore[return-value]
