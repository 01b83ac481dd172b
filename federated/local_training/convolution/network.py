"""A stack of convolutions and dense layers on one client's parameters, and the gradient of its loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from data_partitioners.partition import sizes_of
from federated.local_training.convolution.layers import (
    DenseRows,
    Layer,
    Parameters,
    Rows,
)
from federated.local_training.convolution.recognise import ConvolutionStack
from federated.local_training.convolution.recording import Recordings
from federated.local_training.convolution.unfolded import UnfoldedConvolution
from federated.local_training.steps.dropout import DropoutGenerators, as_mask
from federated.local_training.steps.work import LocalWork

# Examples that go through the layers at a time. The rows of 64 examples of a LeNet just outgrow a core's cache
# of 2 MB; with 32 the calls cost more than the cache saves (2.08 against 1.80 ms a step).
_MOST_EXAMPLES = 96


class ConvolutionalNetwork:
    """The layers on their buffers. One call at a time."""

    def __init__(self, work: LocalWork, stack: ConvolutionStack) -> None:
        self.parameters = Parameters(work.model.vector)
        assert work.loss.kernel is not None
        self.criterion = work.loss.kernel
        self.num_outputs = stack.dense[-1].outputs
        self._weighted = work.weights is not None
        self._scale = self.criterion.scale(self.num_outputs)
        self._rates = [c.dropout for c in stack.convolutions] + [d.dropout for d in stack.dense]
        largest = int(sizes_of(work.clients).max(initial=1))
        self.most = most = min(work.local.batch_size or largest, largest, _MOST_EXAMPLES)
        num_features = math.prod(stack.convolutions[0].inputs)
        self._images = Rows(num_features, most, work.model.vector)
        self._layers = _layers(stack, torch.arange(num_features), self.parameters, most)
        self._recordings = Recordings()
        self._resize(most)

    def step(
        self,
        inputs: Tensor,
        aims: Tensor,
        outputs: Tensor,
        generators: DropoutGenerators,
        factors: Tensor | None = None,
        offset: Tensor | None = None,
    ) -> None:
        """Leave the gradient of the mean loss in the parameters, and write the outputs [K, B].

        inputs [B, ...] as they come; aims [K, B], as the criterion has them, times the factors [B], where there are
        any: what the loss of each example is multiplied by. offset: what is added to the outputs, [K, 1].
        """
        masks = self._masks(inputs, generators)
        size = -(-len(inputs) // -(-len(inputs) // _MOST_EXAMPLES))
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            given = [inputs[part], *(rows[:, part] for rows in (aims, outputs, *masks))]
            given += [] if factors is None else [factors[part]]
            given += [] if offset is None else [offset]
            ends = start == 0, start + size >= len(inputs)
            self._part(len(inputs), ends, given, offset is not None)

    def _part(self, batch: int, ends: tuple[bool, bool], given: Sequence[Tensor], offset: bool) -> None:
        """Some examples of a batch. ends: they are its first, its last. offset: the last that is given is one."""
        if len(given[0]) != self._size:
            self._resize(len(given[0]))
        (is_first, is_last), key, weight = ends, (self._size, batch, ends, offset), self._scale / batch

        def step(inputs: Tensor, aims: Tensor, outputs: Tensor, *others: Tensor) -> None:
            others, added = (others[:-1], others[-1]) if offset else (others, None)
            masks, factors = (others[:-1], others[-1]) if self._weighted else (others, None)
            if is_first:
                self._begin()
            self._forward(inputs, outputs, masks)
            if added is not None:
                outputs.add_(added)
            predicted = self.criterion.predict(outputs)
            predicted = predicted if factors is None else predicted * factors
            self._backward((predicted - aims).mul_(weight), float(not is_first))
            if is_last:
                self._end()

        self._recordings.run(key, step, self._buffers, *given)

    def _begin(self) -> None:
        for layer in self._layers:
            layer.begin()

    def _end(self) -> None:
        for layer in self._layers:
            layer.end()

    def _forward(self, inputs: Tensor, outputs: Tensor, masks: Sequence[Tensor]) -> None:
        self._inputs.copy_(inputs.flatten(1).T)
        if inputs.dtype == torch.uint8:
            self._inputs.div_(255)
        left = iter(masks)
        for layer, rate in zip(self._layers, self._rates, strict=True):
            layer.forward(next(left) if rate else None)
        outputs.copy_(self._outputs)

    def _backward(self, errors: Tensor | None, so_far: float) -> None:
        for layer in reversed(self._layers):
            assert errors is not None
            errors = layer.backward(errors, so_far)

    def _resize(self, num_examples: int) -> None:
        rows = self._images.of(num_examples)
        self._size, self._inputs = num_examples, rows[:-2]
        for layer in self._layers:
            rows = layer.resize(num_examples, rows)
        self._outputs = rows[:-2]

    def _buffers(self) -> list[Tensor]:
        own = [self.parameters.weights, self.parameters.gradient, self._inputs, self._outputs]
        return own + [buffer for layer in self._layers for buffer in layer.buffers()]

    def _masks(self, inputs: Tensor, generators: DropoutGenerators) -> list[Tensor]:
        """The masks [features, B] of the inputs of each layer that drops some."""
        dropping = [(layer, rate) for layer, rate in zip(self._layers, self._rates, strict=True) if rate]
        return [
            as_mask(generators[at].random((len(inputs), layer.num_inputs), np.float32), rate, self._inputs).T
            for at, (layer, rate) in enumerate(dropping)
        ]


def _layers(stack: ConvolutionStack, rows: Tensor, parameters: Parameters, most: int) -> list[Layer]:
    layers: list[Layer] = []
    for convolution in stack.convolutions:
        layer = UnfoldedConvolution(convolution, rows, parameters, most, not layers)
        layers.append(layer)
        rows = layer.output_rows
    layers.extend(DenseRows(dense, parameters, most) for dense in stack.dense)
    return layers
