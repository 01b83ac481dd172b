"""Trials of a person's own loss and optimiser."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from federated.foundation.errors import OwnCodeFailed
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.work import LocalWork
from federated.models.objective import model_inputs
from federated.optimisers import Optimiser
from federated.trials.purity import check_pure, check_unchanged, small_updates
from federated.user_code.containment import contained

_EXAMPLES = 8
_STEPS = 3


def try_loss(name: str, work: LocalWork) -> None:
    """The loss of some examples and of one, twice, with its gradient. Raises OwnCodeFailed."""
    what, model = f"loss: {name}", work.model.twin()
    module = model.module.eval()
    forward = in_precision(work._replace(model=model), module)
    some = islice((each[:_EXAMPLES] for each in work.clients if len(each)), _EXAMPLES)
    held = torch.cat([torch.from_numpy(each) for each in some])[:_EXAMPLES]
    for size in dict.fromkeys((len(held), 1)):
        at = held[:size].to(work.inputs.device)
        inputs, targets = model_inputs(work.inputs[at]), work.targets[at]
        weights = None if work.weights is None else work.weights[at]
        with torch.enable_grad():
            outputs = forward(inputs)
            before, given = outputs.detach().clone(), targets.clone()
            with contained(f"{what} fails on {_shapes(outputs, targets)}"):
                found, again = (work.loss(outputs, targets, weights) for _ in range(2))
        _check_value(what, found, outputs, targets)
        check_unchanged(what, {"the outputs": (outputs.detach(), before), "the targets": (targets, given)})
        check_pure(what, {"loss": found.detach()}, {"loss": again.detach()})


def _check_value(what: str, found: Tensor, outputs: Tensor, targets: Tensor) -> None:
    if not torch.isfinite(found):
        raise OwnCodeFailed(
            f"{what} returns {float(found.detach())} on {_shapes(outputs, targets)} before training"
        )
    if not found.requires_grad:
        raise OwnCodeFailed(
            f"{what} does not depend on the outputs (are they detached?): nothing would be learnt"
        )
    with contained(f"{what}: its gradient cannot be computed"):
        (gradient,) = torch.autograd.grad(found, outputs)
    if not torch.isfinite(gradient).all():
        raise OwnCodeFailed(f"{what} has a gradient that is not finite before training")


def _shapes(outputs: Tensor, targets: Tensor) -> str:
    return f"outputs {list(outputs.shape)} and targets {list(targets.shape)}"


def try_optimiser(name: str, optimiser: Optimiser, parameters: Tensor) -> None:
    """A few steps along a small gradient, twice. parameters: the trainable ones [P]. Raises OwnCodeFailed."""
    if optimiser.direction is None:
        return
    what = f"optimiser: {name}: direction"
    first, again = (_directions(optimiser, parameters) for _ in range(2))
    for each in first.values():
        if not torch.isfinite(each).all():
            raise OwnCodeFailed(f"{what} returns numbers that are not finite for a small finite gradient")
    check_pure(what, first, again)


def _directions(optimiser: Optimiser, parameters: Tensor) -> dict[str, Tensor]:
    assert optimiser.direction is not None
    gradients = small_updates(parameters)[:1]
    memory = {name: torch.zeros_like(gradients) for name in optimiser.remembers}
    return {
        f"step {step}": optimiser.direction(memory, gradients.clone(), step).clone()
        for step in range(1, _STEPS + 1)
    }
