"""The loss of a run, and the weights of its examples, fitted to the data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_partitioners import Partition
from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.extension_points.kinds import LOSS
from federated.foundation.errors import BadInput
from federated.losses import LOSSES, Loss, usual_loss
from federated.losses.own import own_loss
from federated.user_code.containment import is_own, title


class Fitted(NamedTuple):
    """A loss, and what it multiplies the loss of each example by, float64 [N]; None: nothing."""

    loss: Loss
    weights: np.ndarray | None


def fitted_loss(config: RunConfig, examples: Examples, holders: Partition) -> Fitted:
    """The loss that the config states, or the task's usual one. Raises BadInput where it does not suit the data."""
    loss = stated_loss(config, examples)
    if examples.task.targets not in loss.targets:
        raise BadInput(
            f"loss: {_label(config)} is not for {examples.task.name}; use {' or '.join(_suitable(examples))}"
        )
    try:
        loss.check(examples.targets[np.concatenate(holders.indices)])
        factors = (
            None if loss.weigh is None else loss.weigh(examples.targets, holders.indices, examples.classes)
        )
    except ValueError as error:
        raise BadInput(f"loss: {_label(config)}: {error}") from error
    return Fitted(loss, factors)


def stated_loss(config: RunConfig, examples: Examples) -> Loss:
    """The loss before it has seen the data."""
    if config.loss is None:
        return usual_loss(examples.task)
    made = config.loss.build()
    return own_loss(title(config.loss), made) if is_own(config.loss) else made


def _label(config: RunConfig) -> str:
    return "null" if config.loss is None else config.loss.label()


def _suitable(examples: Examples) -> list[str]:
    return [name for name in LOSSES if examples.task.targets in LOSS.factories[name]().targets]
