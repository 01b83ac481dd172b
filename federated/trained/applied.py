"""A trained part applied to the module of a run, once, after it was made and before it becomes a flat vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, torch_seeded
from federated.models.flat_model import FlatModel
from federated.models.model import check_outputs
from federated.trained.part import TrainedPart
from federated.trained.trial import not_mergeable
from federated.user_code.containment import contained


def applied(
    part: TrainedPart,
    name: str,
    module: nn.Module,
    sample: Tensor,
    outputs: tuple[int, ...],
    seed: int,
    number: int = 0,
) -> nn.Module:
    """The module of which this part is trained; what a part draws is a function of the seed and of the number alone.

    name: as `package.module:function` where the part is a person's own, whose faults are OwnCodeFailed. sample: a few
    ready inputs, with which it is tried; outputs: the shape of one example's. Raises BadInput where the model has no
    such part, or the outputs do not depend on it.
    """
    failed: type[BadInput] = OwnCodeFailed if ":" in name else BadInput
    what, key = f"trained: {name}", (number,) if number else ()
    with contained(what, failed), torch_seeded(seed, Purpose.TRAINED_PART, *key), torch.no_grad():
        chosen = part(module)
    if not isinstance(chosen, nn.Module):
        raise failed(f"{what} must return the module, got {type(chosen).__name__}")
    if not any(parameter.requires_grad for parameter in chosen.parameters()):
        raise failed(f"{what} leaves no parameter to train: requires_grad is False in all of them")
    with contained(f"{what}: the model then fails on inputs {list(sample.shape)}", failed):
        model = FlatModel(chosen, rest_in_evaluation=True)
        model.train()
        with torch.enable_grad():
            found = model.module(sample.clone())
    check_outputs(found, f"{what}: the model", (len(sample), *outputs), failed)
    if not found.requires_grad:
        raise failed(f"{what}: the outputs do not depend on what is trained, {model.layout[0][0]} first")
    _check_adapters(model, found, what, failed)
    with contained(f"{what}: the model then fails in evaluation", failed):
        other = not_mergeable(chosen, sample)
    if other is not None:
        raise failed(
            f"{what}: {other}: with the adapter beside it the model answers otherwise than with the product in its "
            "weight, as it would be logged; the weight may also be read past the layer; name other targets"
        )
    return chosen


def _check_adapters(model: FlatModel, outputs: Tensor, what: str, failed: type[BadInput]) -> None:
    """Raise where an adapter takes no part in the outputs."""
    parts: Sequence[Tensor | None] = torch.autograd.grad(outputs.sum(), model.trainable, allow_unused=True)
    for (name, _), part in zip(model.layout, parts, strict=True):
        if part is None and name in model.factors:
            layer = name.partition(".lora_")[0]
            raise failed(
                f"{what}: {layer} is not called when the model is, so its adapter would have no effect; name other "
                "targets"
            )
