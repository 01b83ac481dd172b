"""The layers of a stack of clients: what goes forward and backward between them in a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.local_training.dense.activations import activate, through
from federated.local_training.dense.layer import StackedDense, widen
from federated.local_training.dense.recognise import Dense
from federated.local_training.steps.scratch import Scratch
from federated.local_training.steps.sgd import Rule, clip_norms

Masks = Sequence[Tensor | None]


class Stack:
    """The layers of c clients, with room for what goes into each but the first, [c, B, width].

    Works on the first clients only, those that `keep` was told.
    """

    def __init__(
        self,
        layers: Sequence[Dense],
        received: Tensor,
        num_clients: int,
        batch: int,
        rule: Rule,
        scratch: Scratch,
        threads: int = 1,
        scale: float = 1.0,
    ) -> None:
        """batch: B, the examples of a step; threads: of torch, in a product; scale: of the first layer's inputs."""
        self.rule, self.num_clients = rule, 0
        self.layers = [
            StackedDense(
                number, dense, received, num_clients, rule, scratch, threads, 1.0 if number else scale
            )
            for number, dense in enumerate(layers)
        ]
        self._room = [
            scratch(f"hidden {number}", received, num_clients, batch, dense.width)
            for number, dense in enumerate(layers[1:])
        ]
        for room, dense in zip(self._room, layers[1:], strict=True):
            widen(room, dense.inputs)
        self.keep(num_clients)

    def keep(self, num_clients: int) -> None:
        """Go on with the first clients only; the others have finished."""
        if num_clients == self.num_clients:
            return
        self.num_clients = num_clients
        for layer in self.layers:
            layer.keep(num_clients)
        self._hidden = [room[:num_clients] for room in self._room]
        above = zip(self._hidden, self.layers[1:], strict=True)
        self._values = [hidden[..., : layer.dense.inputs] for hidden, layer in above]

    def forward(self, outputs: Tensor, masks: Masks) -> Tensor:
        """The outputs of the last layer from those of the first [c, B, outputs]; masks: of each layer's inputs."""
        self._activated: list[Tensor] = []
        for depth, layer in enumerate(self.layers[1:]):
            activation, values, mask = (
                self.layers[depth].dense.activation,
                self._values[depth],
                masks[depth + 1],
            )
            if mask is None:
                self._activated.append(activate(outputs, activation, values))
            else:
                self._activated.append(activate(outputs, activation, outputs))
                torch.mul(outputs, mask, out=values)
            outputs = layer.outputs(self._hidden[depth])
        self._activated.append(activate(outputs, self.layers[-1].dense.activation, outputs))
        return outputs

    def backward(self, errors: Tensor, masks: Masks) -> Tensor:
        """Step every layer but the first, or leave its gradient; the errors of the first one, before its activation.

        errors [c, B, K]: the gradient of the loss with respect to what `forward` returned last.
        """
        for depth in range(len(self.layers) - 1, 0, -1):
            layer = self.layers[depth]
            errors = through(errors, self._activated[depth], layer.dense.activation)
            below = layer.backward(errors)
            layer.learn(self._hidden[depth - 1], errors)
            mask = masks[depth]
            errors = below if mask is None else below.mul_(mask)
        return through(errors, self._activated[0], self.layers[0].dense.activation)

    def descend(self) -> None:
        """Step every layer along the gradient that it left."""
        if self.rule.max_norm is not None:
            gradients = [layer.gradient for layer in self.layers if layer.gradient is not None]
            clip_norms(gradients, self.rule.max_norm)
        for layer in self.layers:
            layer.descend()
