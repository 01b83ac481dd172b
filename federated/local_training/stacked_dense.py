"""A dense layer of many clients at once, its step of SGD fused into the product that makes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.local_training.linear_stack import Dense
from federated.local_training.rule import Rule


class StackedDense:
    """The weights [c, outputs, inputs] and biases [c, 1, outputs] of c clients, all as received at first.

    Works on the first clients only, those that `keep` was told.
    """

    def __init__(self, dense: Dense, received: Tensor, num_clients: int, rule: Rule) -> None:
        self.dense, self.rule = dense, rule
        shape = (num_clients, dense.outputs, dense.inputs)
        self._weight = received[dense.weight].view(shape[1:]).repeat(num_clients, 1, 1)
        self._bias = None if dense.bias is None else received[dense.bias].repeat(num_clients, 1, 1)
        self._weight_buffer = torch.zeros_like(self._weight) if rule.momentum else None
        self._bias_buffer = torch.zeros_like(self._bias) if rule.momentum and self._bias is not None else None
        self.keep(num_clients)

    def keep(self, num_clients: int) -> None:
        """Go on with the first clients only; the others have finished."""
        self.weight = self._weight[:num_clients]
        self.weight_transposed = self.weight.transpose(1, 2)
        self.bias = None if self._bias is None else self._bias[:num_clients]
        self.weight_buffer = None if self._weight_buffer is None else self._weight_buffer[:num_clients]
        self.bias_buffer = None if self._bias_buffer is None else self._bias_buffer[:num_clients]

    def outputs(self, inputs: Tensor) -> Tensor:
        """inputs [c, n, inputs] -> [c, n, outputs], before the activation."""
        if self.bias is None:
            return torch.bmm(inputs, self.weight_transposed)
        return torch.baddbmm(self.bias, inputs, self.weight_transposed)

    def backward(self, errors: Tensor) -> Tensor:
        """errors [c, n, outputs], the gradient of the loss before the activation -> that of the inputs."""
        return torch.bmm(errors, self.weight)

    def learn(self, inputs: Tensor, errors: Tensor) -> None:
        """One step of SGD."""
        self.rule.step(self.weight, self.weight_buffer, errors.transpose(1, 2), inputs)
        if self.bias is not None:
            ones = errors.new_ones(len(errors), 1, errors.shape[1])
            self.rule.step(self.bias, self.bias_buffer, ones, errors)

    def write_deltas(self, received: Tensor, deltas: Tensor, rows: Tensor) -> None:
        """Write how far the parameters moved into `rows` of deltas [C, P]. Uses the stack up."""
        weights = self._weight.view(len(rows), -1).sub_(received[self.dense.weight])
        deltas[:, self.dense.weight].index_copy_(0, rows, weights)
        if self._bias is not None and self.dense.bias is not None:
            deltas[:, self.dense.bias].index_copy_(0, rows, self._bias[:, 0].sub_(received[self.dense.bias]))
