"""The gradients of single examples of one client: by torch.func where it can, else one after another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from torch import Tensor

from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import Batch
from federated.local_training.steps.dropout import DropoutGenerators, Masks
from federated.local_training.steps.work import LocalWork
from federated.local_training.vmapped import Batched, batched_module, drawn_masks, try_out
from federated.models.flat_model import FlatModel

logger = logging.getLogger(__name__)

# Numbers in the gradients that are held at a time: 64 MB in 32 bits.
_MOST_NUMBERS = 2**24

ExampleGradients = Callable[[Batch, "Tensor | None", DropoutGenerators], Iterator[tuple[Tensor, Tensor]]]
"""(a batch ready for the model, what is added to its outputs [K], dropout) -> (gradients [b, T], losses [b]) in turn.

Of the model as it is at the time.
"""


def example_gradients(work: LocalWork, model: FlatModel) -> ExampleGradients:
    """The gradients of the examples of a batch of this model, a few at a time, so that they fit in memory.

    Each is the gradient of the loss of a batch of one, so no example has a part in that of another.
    """
    try:
        batched = batched_module(work)
        try_out(work, batched)
    except ValueError as error:
        logger.info("gradients of examples: one after another (%s)", error)
        return _one_after_another(work, model)
    return _by_functions(work, model, batched)


def _by_functions(work: LocalWork, model: FlatModel, batched: Batched) -> ExampleGradients:
    most = max(1, _MOST_NUMBERS // model.num_trainable)

    def gradients(
        batch: Batch, offset: Tensor | None, generators: DropoutGenerators
    ) -> Iterator[tuple[Tensor, Tensor]]:
        masks = [mask[0] for mask in drawn_masks(batched, [generators], len(batch.inputs))]
        for start in range(0, len(batch.inputs), most):
            part = slice(start, start + most)
            inputs, targets, weights = (None if each is None else each[part, None] for each in batch)
            assert inputs is not None
            assert targets is not None
            own = [mask[part, None] for mask in masks]
            yield batched.gradients(
                model.vector[: model.num_trainable], inputs, targets, weights, offset, own
            )

    return gradients


def _one_after_another(work: LocalWork, model: FlatModel) -> ExampleGradients:
    forward, masks = in_precision(work, model.module), Masks(model.module)

    def gradients(
        batch: Batch, offset: Tensor | None, generators: DropoutGenerators
    ) -> Iterator[tuple[Tensor, Tensor]]:
        masks.draw_from(generators)
        for one in batch.split(1):
            outputs = forward(one.inputs)
            loss = work.loss(outputs if offset is None else outputs + offset, one.targets, one.weights)
            yield model.gradient(loss)[None], loss.detach()[None]

    return gradients
