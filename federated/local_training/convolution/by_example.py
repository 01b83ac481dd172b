"""Differentially private steps of one client at a time, for convolutions in a row, without autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.local_training.by_example.noise import Noise, shares_kept
from federated.local_training.by_example.one_client import ClippedSum, private_steps
from federated.local_training.by_example.poisson import expected_batch, poisson_batches
from federated.local_training.convolution.network import ConvolutionalNetwork
from federated.local_training.convolution.of_examples import OfExamples
from federated.local_training.convolution.recognise import ConvolutionStack
from federated.local_training.steps.batches import Batch, batch_of
from federated.local_training.steps.dropout import DropoutGenerators, dropout_key
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.sgd import rule_of
from federated.local_training.steps.updates import PartTrainer, Slots
from federated.local_training.steps.work import LocalWork


def im2col_by_example(work: LocalWork, stack: ConvolutionStack) -> PartTrainer:
    """Trains as `part_by_example` does, in another order of sums. `stack` as `convolution_stack` found it."""
    schedule = work.local.schedule.build()
    network = PrivateNetwork(work, stack)

    def train(received: Tensor, clients: Sequence[int], done: int, terms: LocalTerms, slots: Slots) -> None:
        factor, weights = schedule(done, work.rounds), network.parameters.weights[:-1]
        lengths = lengths_of(work, clients, done, terms)
        with torch.no_grad():
            for at, (row, client) in enumerate(zip(slots.rows.tolist(), clients, strict=True)):
                own = received if received.dim() == 1 else received[at]
                weights.copy_(own)
                rule = rule_of(work.local, factor, terms.of([at]), own)
                moves = None if rule.moves is None else rule.moves[0]
                offset = None if terms.offsets is None else terms.offsets[at, :, None].to(weights)
                draws = DropoutGenerators(*dropout_key(work, client, done, terms.stream))
                batches = poisson_batches(work, done, client, lengths[at], terms.stream)
                noise = Noise(work, done, client, terms.stream)
                expected = expected_batch(len(work.clients[client]), work.local.batch_size)
                found = (
                    network.clipped_sum(batch_of(work, batch), draws, offset, moves) for batch in batches
                )
                slots.losses[row], bounded = private_steps(weights[None], rule, found, noise, expected)
                if slots.bounded is not None:
                    slots.bounded[row] = bounded.cpu()
                torch.sub(weights, own, out=slots.deltas[row])

    return train


class PrivateNetwork(ConvolutionalNetwork):
    """The layers on their buffers, and the bounded gradients of the examples of a batch."""

    def __init__(self, work: LocalWork, stack: ConvolutionStack) -> None:
        super().__init__(work, stack)
        assert work.per_example is not None
        self._private = work.per_example

    def clipped_sum(
        self, batch: Batch, draws: DropoutGenerators, offset: Tensor | None, moves: Tensor | None
    ) -> ClippedSum:
        """The sum of the gradients of a batch, as it comes, each bounded in what moves, in the parameters' gradient."""
        gradient = self.parameters.gradient.zero_()
        loss, bounded = gradient.new_zeros(()), gradient.new_zeros(2, dtype=torch.int64)
        masks = self._masks(batch.inputs, draws)
        for number, some in enumerate(batch.split(self.most)):
            part = slice(number * self.most, (number + 1) * self.most)
            kept, lost = self._bounded(some, [mask[:, part] for mask in masks], offset, moves)
            loss += lost
            bounded += torch.stack([(kept < 1).sum(), torch.tensor(len(kept)).to(bounded)])
        return ClippedSum(gradient, loss, bounded)

    def _bounded(
        self, batch: Batch, masks: Sequence[Tensor], offset: Tensor | None, moves: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(the share that is kept of each gradient [B], the sum of the losses), whose sum is added to the gradient."""
        if len(batch.inputs) != self._size:
            self._resize(len(batch.inputs))
        gradient = self.parameters.gradient
        outputs = gradient.new_empty(self.num_outputs, len(batch.inputs))
        self._begin()
        self._forward(batch.inputs, outputs, masks)
        if offset is not None:
            outputs.add_(offset)
        factors = gradient.new_ones(len(batch.inputs)) if batch.weights is None else batch.weights
        aims = self.criterion.aims(batch.targets, factors, self.num_outputs)
        errors: Tensor | None = (self.criterion.predict(outputs) * factors - aims).mul_(self._scale)
        of_layers: list[OfExamples] = []
        for layer in reversed(self._layers):
            assert errors is not None
            errors, found = layer.backward_each(errors)
            of_layers.append(found)
        squares = torch.stack([found.squares(moves) for found in of_layers]).sum(dim=0)
        kept = shares_kept(self._private, squares.sqrt())
        for found in of_layers:
            found.add_to(gradient, kept)
        return kept, (self.criterion.losses(outputs, batch.targets) * factors).sum()
