"""One client at a time, for convolutions in a row: a step without autograd, on kept buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.convolution.network import ConvolutionalNetwork
from federated.local_training.convolution.recognise import ConvolutionStack
from federated.local_training.convolution.recording import as_recorded
from federated.local_training.steps.batches import Batch, epochs
from federated.local_training.steps.dropout import DropoutGenerators, dropout_key
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.sgd import Rule, memory_of, rule_of
from federated.local_training.steps.updates import PartTrainer, Slots
from federated.local_training.steps.work import LocalWork


def im2col_trainer(work: LocalWork, stack: ConvolutionStack) -> PartTrainer:
    """Trains as the loop does, in another order of sums. `stack` as `convolution_stack` found it."""
    schedule = work.local.schedule.build()
    network = ConvolutionalNetwork(work, stack)

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor, weights = schedule(done, work.rounds), network.parameters.weights[:-1]
        lengths = lengths_of(work, clients, done, terms)
        with torch.no_grad(), as_recorded():
            for at, (row, client) in enumerate(zip(slots.rows.tolist(), clients, strict=True)):
                own = received if received.dim() == 1 else received[at]
                weights.copy_(own)
                rule = rule_of(work.local, factor, terms.of([at]), own)
                offset = None if terms.offsets is None else terms.offsets[at, :, None].to(weights)
                generators = DropoutGenerators(*dropout_key(work, client, done, terms.stream))
                examples = epochs(work, done, client, lengths[at], terms.stream)
                slots.losses[row] = _train_client(work, network, rule, examples, generators, offset)
                torch.sub(weights, own, out=slots.deltas[row])

    return train


def _train_client(
    work: LocalWork,
    network: ConvolutionalNetwork,
    rule: Rule,
    examples: Iterator[Batch],
    generators: DropoutGenerators,
    offset: Tensor | None,
) -> float:
    """Train the network's weights in place on one client's batches; the mean loss over all that it saw.

    examples: of each epoch in turn.
    """
    weights, gradient = network.parameters.weights[None, :-1], network.parameters.gradient[None]
    memory, steps = memory_of(rule, weights), count(1)
    total, seen = 0.0, 0
    for inputs, targets, factors in examples:
        outputs = weights.new_empty(network.num_outputs, len(inputs))
        scales = weights.new_ones(len(inputs)) if factors is None else factors
        aims = network.criterion.aims(targets, scales, network.num_outputs)
        size = work.local.batch_size or len(inputs)
        for start in range(0, len(inputs), size):
            part = slice(start, start + size)
            now = None if factors is None else factors[part]
            network.step(inputs[part], aims[:, part], outputs[:, part], generators, now, offset)
            rule.clip([gradient])
            rule.descend(weights, memory, gradient, next(steps))
        losses = network.criterion.losses(outputs, targets)
        total += float((losses if factors is None else losses * factors).sum())
        seen += len(inputs)
    return total / seen
