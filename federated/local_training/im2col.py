"""One client at a time, for convolutions in a row: a step without autograd, on kept buffers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.local_training.batches import Length, epochs
from federated.local_training.convolution_stack import ConvolutionStack
from federated.local_training.criterion import Criterion, criterion_of
from federated.local_training.dropout import DropoutGenerators, as_mask
from federated.local_training.image_layers import (
    DenseRows,
    Layer,
    Parameters,
    Rows,
    UnfoldedConvolution,
)
from federated.local_training.plan import lengths_of
from federated.local_training.rule import Rule, clip_norms, rule_of
from federated.local_training.terms import LocalTerms
from federated.local_training.updates import PartTrainer, Slots
from federated.local_training.work import LocalWork

# Examples that go through the layers at a time. The rows of 64 examples of a LeNet just outgrow a core's cache
# of 2 MB; with 32 the calls cost more than the cache saves (2.08 against 1.80 ms a step).
_MOST_EXAMPLES = 96


def im2col_trainer(work: LocalWork, stack: ConvolutionStack) -> PartTrainer:
    """Trains as the loop does, in another order of sums. `stack` as `convolution_stack` found it."""
    schedule = work.local.schedule.build()
    network = Network(work, stack)

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor, weights = schedule(done, work.rounds), network.parameters.weights[:-1]
        lengths = lengths_of(work, clients, done, terms)
        with torch.no_grad():
            for at, (row, client) in enumerate(zip(slots.rows.tolist(), clients, strict=True)):
                weights.copy_(received)
                rule = rule_of(work.local, factor, terms.of([at]), received)
                slots.losses[row] = _train_client(work, network, rule, client, done, lengths[at])
                torch.sub(weights, received, out=slots.deltas[row])

    return train


def _train_client(
    work: LocalWork, network: Network, rule: Rule, client: int, done: int, length: Length
) -> float:
    """Train the network's weights in place on one client's batches; the mean loss over all that it saw."""
    weights, gradient = network.parameters.weights[None, :-1], network.parameters.gradient[None]
    buffer = torch.zeros_like(weights) if rule.momentum else None
    generators = DropoutGenerators(work.seed, done, client)
    total, seen = 0.0, 0
    for inputs, targets in epochs(work, done, client, length):
        outputs = weights.new_empty(len(inputs), network.num_outputs)
        aims = network.criterion.aims(targets[None], network.num_outputs)[0]
        size = work.local.batch_size or len(inputs)
        parts = (torch.split(tensor, size) for tensor in (inputs, aims, outputs))
        for images, wanted, predicted in zip(*parts, strict=True):
            network.step(images, wanted, predicted, generators)
            if rule.max_norm is not None:
                clip_norms([gradient], rule.max_norm)
            rule.descend(weights, buffer, gradient)
        total += float(network.criterion.losses(outputs[None], targets[None]).sum())
        seen += len(inputs)
    return total / seen


class Network:
    """The layers on one client's parameters, and the gradient of the loss."""

    def __init__(self, work: LocalWork, stack: ConvolutionStack) -> None:
        self.parameters = Parameters(work.model.vector)
        self.criterion: Criterion = criterion_of(work.loss)
        self.num_outputs = stack.dense[-1].outputs
        self._scale = self.criterion.scale(self.num_outputs)
        self._rates = [c.dropout for c in stack.convolutions] + [d.dropout for d in stack.dense]
        largest = max(map(len, work.clients), default=1) or 1
        most = min(work.local.batch_size or largest, largest, _MOST_EXAMPLES)
        num_features = math.prod(stack.convolutions[0].inputs)
        self._images = Rows(num_features, most, work.model.vector)
        self._layers = _layers(stack, torch.arange(num_features), self.parameters, most)
        self._resize(most)

    def step(self, inputs: Tensor, aims: Tensor, outputs: Tensor, generators: DropoutGenerators) -> None:
        """Leave the gradient of the mean loss in the parameters, and write the outputs [B, K].

        inputs [B, ...] as they come; aims [B, K], as the criterion has them.
        """
        masks = self._masks(inputs, generators)
        for layer in self._layers:
            layer.begin()
        size = -(-len(inputs) // -(-len(inputs) // _MOST_EXAMPLES))
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            own = [None if mask is None else mask[:, part] for mask in masks]
            self._part(inputs[part], aims[part], outputs[part], self._scale / len(inputs), own, bool(start))
        for layer in self._layers:
            layer.end()

    def _part(
        self,
        inputs: Tensor,
        aims: Tensor,
        outputs: Tensor,
        weight: float,
        masks: Sequence[Tensor | None],
        so_far: bool,
    ) -> None:
        if len(inputs) != self._size:
            self._resize(len(inputs))
        self._inputs.copy_(inputs.flatten(1).T)
        if inputs.dtype == torch.uint8:
            self._inputs.div_(255)
        for layer, mask in zip(self._layers, masks, strict=True):
            layer.forward(mask)
        outputs.copy_(self._outputs.T)
        errors: Tensor | None = self.criterion.predict(outputs).sub_(aims).mul_(weight).T
        for layer in reversed(self._layers):
            assert errors is not None
            errors = layer.backward(errors, float(so_far))

    def _resize(self, num_examples: int) -> None:
        rows = self._images.of(num_examples)
        self._size, self._inputs = num_examples, rows[:-2]
        for layer in self._layers:
            rows = layer.resize(num_examples, rows)
        self._outputs = rows[:-2]

    def _masks(self, inputs: Tensor, generators: DropoutGenerators) -> list[Tensor | None]:
        """The dropout masks of each layer's inputs, [features, B]; None where nothing is dropped."""
        masks: list[Tensor | None] = []
        numbers = 0
        for layer, rate in zip(self._layers, self._rates, strict=True):
            mask = None
            if rate:
                uniform = generators[numbers].random((len(inputs), layer.num_inputs), np.float32)
                mask = as_mask(uniform, rate, self.parameters.gradient).T
                numbers += 1
            masks.append(mask)
        return masks


def _layers(stack: ConvolutionStack, rows: Tensor, parameters: Parameters, most: int) -> list[Layer]:
    layers: list[Layer] = []
    for convolution in stack.convolutions:
        layer = UnfoldedConvolution(convolution, rows, parameters, most, not layers)
        layers.append(layer)
        rows = layer.output_rows
    layers.extend(DenseRows(dense, parameters, most) for dense in stack.dense)
    return layers
