"""The loss that a person's own function computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from torch import Tensor

from federated.foundation.errors import OwnCodeFailed
from federated.losses.loss import Loss
from federated.metrics.tasks import Targets


def own_loss(name: str, function: Callable[[Tensor, Tensor], Any]) -> Loss:
    """The loss of a function of (outputs [B, outputs], targets) that returns one loss an example [B], or their mean.

    name: as `package.module:function`. What it returns is checked at every call, and raises OwnCodeFailed.
    """

    def returned(outputs: Tensor, targets: Tensor) -> Tensor:
        found = function(outputs, targets)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            kind = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise OwnCodeFailed(f"loss: {name} must return a tensor of floats, got {kind}")
        if found.dim() and list(found.shape) != [len(outputs)]:
            raise OwnCodeFailed(
                f"loss: {name} must return a loss for each example, [{len(outputs)}], or their mean, a scalar; got "
                f"{list(found.shape)}"
            )
        return found

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        found = returned(outputs, targets)
        if not found.dim():
            raise OwnCodeFailed(
                f"loss: {name} returns the mean of a batch; examples have weights here, or are sequences, so return a "
                f"loss for each, [{len(outputs)}]"
            )
        return found

    return Loss(get_args(Targets), of_each, lambda outputs, targets: returned(outputs, targets).mean())
