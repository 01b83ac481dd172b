"""The memory of a forward pass in training: what it keeps for the backward pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from federated.foundation.randomness import Purpose, torch_seeded
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import batch_of
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.order import batches_by_length
from federated.models.objective import model_inputs


class Activations(NamedTuple):
    """Bytes that a step keeps: once a batch, and for each of its examples, of the longest where they differ."""

    once: int
    of_each: int

    def of(self, examples: int) -> int:
        """Bytes of a batch of so many."""
        return self.once + examples * self.of_each


def activations(work: LocalWork) -> Activations:
    """Counted in steps on two and on four of the longest examples; parameters and inputs are not among them."""
    order = torch.cat(batches_by_length(work.inputs, len(work.inputs)))[-4:]
    two, four = (_kept(work, order[-count:]) for count in (2, 4))
    each = max(four - two, 0) // 2
    return Activations(max(two - 2 * each, 0), each)


def _kept(work: LocalWork, examples: Tensor) -> int:
    """Bytes of the tensors that a step on these examples keeps, each storage once."""
    model = work.model.twin()
    model.train()
    known = {tensor.untyped_storage()._cdata for tensor in (*model.module.parameters(), model.vector)}
    kept: dict[int, tuple[Tensor, int]] = {}  # by storage; with the tensors, so that none is used twice

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = (tensor, storage.nbytes())
        return tensor

    batch = batch_of(work, examples.numpy())
    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with torch_seeded(work.seed, Purpose.DROPOUT), torch.enable_grad(), hooks:
        outputs = in_precision(work, model.module)(model_inputs(batch.inputs))
        work.loss(outputs, batch.targets, batch.weights)
    return sum(size for _, size in kept.values())
