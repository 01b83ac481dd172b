"""Many clients in one pass of a model: the rows of all through the frozen layers, each client's own through its layers.

For models of which a small part is trained, as low-rank adapters and a head are: what is frozen is read once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from data_partitioners.partition import sizes_of
from federated.foundation.randomness import torch_watched
from federated.local_training.activations import activations
from federated.local_training.folding.layers import Own, replace_trained
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.dropout import Masks
from federated.local_training.steps.updates import PartTrainer
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.order import batches_by_length
from federated.local_training.vmapped import Batched, stacked_steps
from federated.machine.memory import machine_mb
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs

_ROWS, _ROWS_OF_GPU, _SHARE = 128, 2048, 1 / 8
_ALIKE = {"float32": 1e-4, "bfloat16": 0.3}
_CLIENTS, _EACH = 2, 2


def folded_trainer(work: LocalWork) -> PartTrainer:
    """Trains as the loop does, in another order of sums. Raises ValueError, with the reason, where it cannot."""
    return stacked_steps(work, folded_module(work))


def clients_in_a_pass(work: LocalWork) -> int:
    """The number of clients whose batches go through the model together: some rows fill a core, more only memory.

    On a CPU no more than take an eighth of the machine's memory.
    """
    largest = int(sizes_of(work.clients).max(initial=1))
    batch = min(work.local.batch_size or largest, largest)
    if work.inputs.device.type != "cpu":
        return max(1, _ROWS_OF_GPU // batch)
    most = _SHARE * machine_mb() * 1e6 / max(activations(work).of_each, 1)
    return max(1, int(min(_ROWS, most)) // batch)


def folded_module(work: LocalWork) -> Batched:
    """The gradients of many clients by one pass. Raises ValueError where a layer has no such form, or mixes rows."""
    _check(work)
    model = work.model.twin()
    own = Own({})
    shapes = dict(model.layout)
    replace_trained(model.module, shapes, own)
    masks = Masks(model.module)
    model.train()
    forward = in_precision(work, model.module)

    def outputs_of(inputs: Tensor) -> Tensor:
        outputs: Tensor = forward(inputs.flatten(0, 1))
        return outputs.view(*inputs.shape[:2], *outputs.shape[1:])

    @lru_cache(maxsize=64)
    def sites(num_examples: int) -> list[tuple[int, Tensor]]:
        return _sites(work, masks, own, shapes, model, outputs_of, slice(0, 1), num_examples)

    def gradients(
        flat: Tensor,
        inputs: Tensor,
        targets: Tensor,
        factors: Tensor | None,
        offsets: Tensor | None,
        drawn: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        given = iter(drawn)
        masks.draw = lambda layer, like: next(given).flatten(0, 1)
        parts = _parts(flat, shapes)
        own.values.update(parts)
        outputs = outputs_of(inputs)
        if offsets is not None:
            offsets = offsets if offsets.dim() == 1 else offsets[:, None]
            outputs = outputs + (offsets if outputs.dim() == 3 else offsets[..., None, :])
        losses = [
            work.loss(outputs[at], targets[at], None if factors is None else factors[at])
            for at in range(len(flat))
        ]
        stacked = torch.stack(losses)
        found = torch.autograd.grad(
            stacked.sum(), [*parts.values()], allow_unused=True, materialize_grads=True
        )
        return torch.cat([each.reshape(len(flat), -1) for each in found], dim=1), stacked.detach()

    batched = Batched(gradients, sites, masks)
    try:
        _try_out(work, model, batched, lambda at: _sites(work, masks, own, shapes, model, outputs_of, at, 1))
    except ValueError:
        raise
    except Exception as error:  # the model may be anybody's
        raise ValueError(
            f"the model fails on clients' examples together: {str(error).partition(chr(10))[0]}"
        ) from error
    return batched


def _check(work: LocalWork) -> None:
    if work.per_example is not None:
        raise ValueError("steps by single examples have gradients of each, which a pass for all does not")
    if not work.local.optimiser.build().elementwise:
        raise ValueError(f"the optimiser {work.local.optimiser.label()} does not say that it is elementwise")
    if work.model.vector.numel() != work.model.num_trainable:
        raise ValueError(
            "the model has running statistics, or matrices beside frozen weights, which are each client's"
        )


def _parts(flat: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The clients' parameters by name, [c, ...] each, of which a gradient is wanted."""
    sizes = [int(torch.Size(shape).numel()) for shape in shapes.values()]
    return {
        name: part.reshape(len(flat), *shape).detach().requires_grad_()
        for (name, shape), part in zip(shapes.items(), torch.split(flat, sizes, dim=1), strict=True)
    }


def _sites(
    work: LocalWork,
    masks: Masks,
    own: Own,
    shapes: dict[str, tuple[int, ...]],
    model: FlatModel,
    outputs_of: Callable[[Tensor], Tensor],
    which: slice,
    num_examples: int,
) -> list[tuple[int, Tensor]]:
    """The dropout of one client with so many examples, all like the one that is named: (layer, a tensor alike)."""
    asked: list[tuple[int, Tensor]] = []

    def ask(layer: int, inputs: Tensor) -> Tensor:
        asked.append((layer, torch.empty_like(inputs)))
        return torch.ones_like(inputs)

    masks.draw = ask
    own.values.update(_parts(model.vector[None], shapes))
    with torch.no_grad():
        example = model_inputs(work.inputs[which])
        outputs_of(example.expand(1, num_examples, *example.shape[1:]))
    return asked


def _try_out(
    work: LocalWork, model: FlatModel, batched: Batched, sites: Callable[[slice], list[tuple[int, Tensor]]]
) -> None:
    """Two clients with models and examples of their own, the shortest beside the longest, against one after another.

    Raises ValueError where a gradient is another: where examples are mixed, or numbers drawn that are no client's own.
    """
    count = _CLIENTS * _EACH
    first = work.inputs[: 8 * count]
    order = torch.cat(batches_by_length(first, len(first)))
    at = torch.cat([order[: count // 2], order[-(count // 2) :]]).to(work.inputs.device)
    if len(at) < count:
        raise ValueError("there are too few examples to try it on")
    shapes = [
        [tuple(like.shape) for _, like in sites(slice(int(row), int(row) + 1))] for row in (at[0], at[-1])
    ]
    if shapes[0] != shapes[1]:
        raise ValueError("dropout draws for inputs whose padding depends on the batch")
    of_each = [tuple(like.shape) for _, like in batched.sites(_EACH)]
    if of_each != [(_EACH * shape[0], *shape[1:]) for shape in shapes[0]]:
        raise ValueError("dropout draws for inputs in which an example is no row")
    vector = work.model.vector
    vectors = torch.stack([vector, vector * 1.1 + 0.01])
    inputs = model_inputs(work.inputs.index_select(0, at))
    targets = work.targets.index_select(0, at)
    factors = None if work.weights is None else work.weights.index_select(0, at).view(_CLIENTS, _EACH)
    ones = [torch.ones_like(like).expand(_CLIENTS, *like.shape) for _, like in batched.sites(_EACH)]
    pairs = [each.view(_CLIENTS, _EACH, *each.shape[1:]) for each in (inputs, targets)]
    with torch_watched() as drew:
        found, _ = batched.gradients(vectors, pairs[0], pairs[1], factors, None, ones)
    if model.changed_buffers():
        raise ValueError("the model changes its buffers")
    if drew():
        raise ValueError("the model draws random numbers of its own, as for dropout within attention")
    for client in range(_CLIENTS):
        given = [pairs[0][client], pairs[1][client], None if factors is None else factors[client]]
        expected = _alone(work, vectors[client], given)
        distance = torch.linalg.vector_norm(found[client] - expected)
        if not distance <= _ALIKE[work.precision] * torch.linalg.vector_norm(expected):
            raise ValueError(
                "the model mixes the examples of a batch, or its outputs depend on how it is padded"
            )


def _alone(work: LocalWork, vector: Tensor, given: Sequence[Tensor | None]) -> Tensor:
    """The gradient [P] of one client's batch by the model as it is, with nothing dropped."""
    model, (inputs, targets, factors) = work.model.twin(), given
    assert inputs is not None
    assert targets is not None
    Masks(model.module).draw = lambda layer, like: torch.ones_like(like)
    model.load(vector)
    model.train()
    return model.gradient(work.loss(in_precision(work, model.module)(inputs), targets, factors))
