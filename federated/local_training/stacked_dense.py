"""A dense layer of many clients at once, its step of SGD fused into the product that makes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.local_training.linear_stack import Dense
from federated.local_training.rule import Rule


class StackedParameter:
    """One parameter of c clients, [c, m, n], at first as received ([P] by all, or [c, P]), stepped by a rule.

    Works on the first clients only, those that `keep` was told: `now` is theirs. Where the rule cannot be
    fused, `learn` leaves the gradient in `gradient`, and `descend` takes the step.
    """

    def __init__(
        self, received: Tensor, part: slice, shape: tuple[int, int], num_clients: int, rule: Rule
    ) -> None:
        self._part, self._rule = part, rule.of_part(part, shape)
        own = received[..., part].reshape(-1, *shape)
        self._weights = own.repeat(num_clients // len(own), 1, 1)
        self._buffers = torch.zeros_like(self._weights) if rule.momentum else None
        self._gradients = None if rule.is_fused else torch.empty_like(self._weights)
        self.keep(num_clients)

    def keep(self, num_clients: int) -> None:
        self.now = self._weights[:num_clients]
        self._buffer = None if self._buffers is None else self._buffers[:num_clients]
        self._rule_now = self._rule if self._rule.is_plain else self._rule.first(num_clients)
        self.gradient = None if self._gradients is None else self._gradients[:num_clients]

    def learn(self, left: Tensor, right: Tensor) -> None:
        """One step along the gradient left [c, m, k] @ right [c, k, n]."""
        if self.gradient is None:
            self._rule_now.step(self.now, self._buffer, left, right)
        else:
            torch.bmm(left, right, out=self.gradient)

    def descend(self) -> None:
        """One step along the gradient that `learn` left, as it is by now."""
        assert self.gradient is not None
        self._rule_now.descend(self.now, self._buffer, self.gradient)

    def write_deltas(self, received: Tensor, deltas: Tensor, rows: Tensor) -> None:
        """Write how far the parameter moved into `rows` of deltas [C, P]. Uses it up."""
        moved = self._weights.view(len(rows), -1).sub_(received[..., self._part])
        deltas[:, self._part].index_copy_(0, rows, moved)


class StackedDense:
    """The weights [c, outputs, inputs] and biases [c, 1, outputs] of c clients, all as received at first.

    Works on the first clients only, those that `keep` was told.
    """

    def __init__(self, dense: Dense, received: Tensor, num_clients: int, rule: Rule) -> None:
        self.dense, self.rule = dense, rule
        shape = (dense.outputs, dense.inputs)
        self._weight = StackedParameter(received, dense.weight, shape, num_clients, rule)
        self.parameters = [self._weight]
        if dense.bias is not None:
            self._bias = StackedParameter(received, dense.bias, (1, dense.outputs), num_clients, rule)
            self.parameters.append(self._bias)
        self.keep(num_clients)

    def keep(self, num_clients: int) -> None:
        """Go on with the first clients only; the others have finished."""
        for parameter in self.parameters:
            parameter.keep(num_clients)
        self._weight_transposed = self._weight.now.transpose(1, 2)

    def outputs(self, inputs: Tensor) -> Tensor:
        """inputs [c, n, inputs] -> [c, n, outputs], before the activation."""
        if self.dense.bias is None:
            return torch.bmm(inputs, self._weight_transposed)
        return torch.baddbmm(self._bias.now, inputs, self._weight_transposed)

    def backward(self, errors: Tensor) -> Tensor:
        """errors [c, n, outputs], the gradient of the loss before the activation -> that of the inputs."""
        return torch.bmm(errors, self._weight.now)

    def learn(self, inputs: Tensor, errors: Tensor) -> None:
        """One step of SGD; its gradient alone where the rule cannot be fused."""
        self._weight.learn(errors.transpose(1, 2), inputs)
        if self.dense.bias is not None:
            self._bias.learn(errors.new_ones(len(errors), 1, errors.shape[1]), errors)

    def write_deltas(self, received: Tensor, deltas: Tensor, rows: Tensor) -> None:
        """Write how far the parameters moved into `rows` of deltas [C, P]. Uses the stack up."""
        for parameter in self.parameters:
            parameter.write_deltas(received, deltas, rows)
