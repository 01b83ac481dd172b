"""A dense layer of many clients at once, its step of SGD fused into the product that makes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.local_training.dense.recognise import Dense
from federated.local_training.steps.scratch import Scratch
from federated.local_training.steps.sgd import Rule
from federated.machine.torch_threads import team


class StackedDense:
    """The weights [c, outputs, width] of c clients, at first as received ([P] by all, or [c, P]), stepped by a rule.

    The bias is the column after the weights, with an input that is always 1 (see `Dense.width`), so that one
    product is all of a forward pass, and one all of a step. Works on the first clients only, those that `keep` was
    told. Where the rule cannot be fused, `learn` leaves the gradient in `gradient`, and `descend` takes the step.
    """

    def __init__(
        self,
        number: int,
        dense: Dense,
        received: Tensor,
        num_clients: int,
        rule: Rule,
        scratch: Scratch,
        threads: int = 1,
        scale: float = 1.0,
    ) -> None:
        """number: of the layer, which names its scratch space; threads: of torch, in a product.

        scale: what the inputs would have to be multiplied by; their products are instead.
        """
        self.dense, self.rule, self.threads, self.scale = dense, rule, threads, scale
        self._shaped, self._nothing = rule.shaped(self._widened), received.new_zeros(1, 1, 1)
        shape = (num_clients, dense.outputs, dense.width)
        self._received = self._widened(received if received.dim() > 1 else received[None])
        with team(threads, num_clients):
            self._weights = scratch(f"weights {number}", received, *shape).copy_(self._received)
        self._memory = {
            name: scratch(f"{name} {number}", received, *shape).zero_() for name in rule.remembers
        }
        self._steps = 0
        self._gradients = None if rule.is_fused else scratch(f"gradient {number}", received, *shape)
        self.keep(num_clients)

    def keep(self, num_clients: int) -> None:
        """Go on with the first clients only; the others have finished."""
        self.num_clients = num_clients
        self._team = team(self.threads, num_clients)
        self._now = self._weights[:num_clients]
        self._transposed = self._now.transpose(1, 2)
        self._without_bias = self._now[..., : self.dense.inputs]
        self._memory_now = {name: rows[:num_clients] for name, rows in self._memory.items()}
        self._rule_now = self._shaped if self.rule.is_plain else self._shaped.first(num_clients)
        self.gradient = None if self._gradients is None else self._gradients[:num_clients]

    def outputs(self, inputs: Tensor) -> Tensor:
        """inputs [c, n, width] -> [c, n, outputs], before the activation."""
        with self._team:
            return torch.baddbmm(self._nothing, inputs, self._transposed, beta=0, alpha=self.scale)

    def backward(self, errors: Tensor) -> Tensor:
        """errors [c, n, outputs], the loss's gradient before the activation -> that of the inputs [c, n, inputs]."""
        with self._team:
            return torch.bmm(errors, self._without_bias)

    def learn(self, inputs: Tensor, errors: Tensor) -> None:
        """One step along errors^T inputs; that gradient alone where the rule cannot be fused."""
        with self._team:
            if self.gradient is None:
                self._rule_now.step(self._now, self._memory_now, errors.transpose(1, 2), inputs, self.scale)
            else:
                self.gradient.baddbmm_(errors.transpose(1, 2), inputs, beta=0, alpha=self.scale)
                if self._rule_now.moves is not None:
                    self.gradient.mul_(self._rule_now.moves)

    def shifted(self, inputs: Tensor) -> Tensor | None:
        """`outputs`, with the rule's shift as weights; None without one."""
        shift = self._rule_now.shift
        if shift is None:
            return None
        with self._team:
            weights = shift.expand(len(inputs), -1, -1).transpose(1, 2)
            return torch.baddbmm(self._nothing, inputs, weights, beta=0, alpha=self.scale)

    def leap(self, inputs: Tensor, errors: Tensor, kept: Tensor, moved: Tensor) -> None:
        """Some steps at once: kept x weights - rate (errors^T inputs + moved x shift); kept and moved: [c]."""
        rule = self._rule_now
        assert isinstance(rule.rate, float)
        with self._team:
            if rule.decay:
                self._now.mul_(kept[:, None, None])
            self._now.baddbmm_(errors.transpose(1, 2), inputs, alpha=-rule.rate * self.scale)
            if rule.shift is not None:
                self._now.addcmul_(rule.shift, moved[:, None, None], value=-rule.rate)

    def descend(self) -> None:
        """One step along the gradient that `learn` left, as it is by now."""
        assert self.gradient is not None
        self._steps += 1
        self._rule_now.descend(self._now, self._memory_now, self.gradient, self._steps)

    def write_deltas(self, deltas: Tensor, rows: Tensor | slice) -> None:
        """Write how far the parameters moved into `rows` of deltas [C, P]. Uses the layer up."""
        dense = self.dense
        weights = deltas[:, dense.weight].view(len(deltas), dense.outputs, dense.inputs)
        self._write(weights, rows, slice(dense.inputs))
        if dense.bias is not None:
            self._write(deltas[:, dense.bias], rows, dense.inputs)

    def _write(self, deltas: Tensor, rows: Tensor | slice, columns: slice | int) -> None:
        now, received = self._weights[..., columns], self._received[..., columns]
        with team(self.threads, len(now)):
            if isinstance(rows, slice):
                torch.sub(now, received, out=deltas[rows])
            else:
                deltas.index_copy_(0, rows, now.sub_(received))

    def _widened(self, vectors: Tensor) -> Tensor:
        """The layer's part of some flat vectors [k, P], as [k, outputs, width]."""
        dense = self.dense
        wide = vectors.new_zeros(len(vectors), dense.outputs, dense.width)
        wide[..., : dense.inputs] = vectors[:, dense.weight].view(-1, dense.outputs, dense.inputs)
        if dense.bias is not None:
            wide[..., dense.inputs] = vectors[:, dense.bias]
        return wide


def widen(values: Tensor, num_inputs: int, one: float = 1.0) -> None:
    """Write what the columns after the inputs always hold into values [..., width]: `one` for the bias, else 0."""
    values[..., num_inputs:] = 0
    values[..., num_inputs : num_inputs + 1] = one


def first(values: Tensor, num_clients: int) -> Tensor:
    """The first clients of values [c, ...]; a slice of all would take as long as a small kernel."""
    return values if len(values) == num_clients else values[:num_clients]
