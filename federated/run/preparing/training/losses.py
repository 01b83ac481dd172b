"""The loss of a run, and the weights of its examples, fitted to the data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_partitioners import Partition
from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.extension_points.kinds import LOSS
from federated.foundation.errors import BadInput
from federated.losses import LOSSES, Loss, Readout, of_positions, usual_loss
from federated.losses.own import own_loss
from federated.user_code.containment import is_own, title


class Fitted(NamedTuple):
    """A loss, what it multiplies the loss of each example by, float64 [N], None: nothing, and how outputs are read."""

    loss: Loss
    weights: np.ndarray | None
    readout: Readout


def fitted_loss(config: RunConfig, examples: Examples, holders: Partition) -> Fitted:
    """The loss that the config states, or the task's usual one. Raises BadInput where it does not suit the data."""
    loss = stated_loss(config, examples)
    if examples.task.targets == "sequence" and "classification" in loss.targets:
        if loss.weigh is not None:
            raise BadInput(
                f"loss: {_label(config)}: class_weights are not for sequences: weights are of whole examples, and each "
                "has a class at every position; leave them out, or use focal"
            )
        loss = of_positions(loss)
    if examples.task.targets not in loss.targets:
        raise BadInput(
            f"loss: {_label(config)} is not for {examples.task.name}; use {' or '.join(_suitable(examples))}"
        )
    try:
        trained = examples.targets[holders.flat]
        loss = loss if loss.learn is None else loss.learn(trained)
        loss.check(trained)
        if loss.num_outputs not in (None, examples.num_outputs):
            raise ValueError(
                f"it is for {loss.num_outputs} outputs, and the data have {examples.num_outputs}"
            )
        factors = None
        if loss.weigh is not None:
            factors = loss.weigh(examples.targets, holders.indices, examples.classes)
    except ValueError as error:
        raise BadInput(f"loss: {_label(config)}: {error}") from error
    factors = _with_those_of_examples(factors, examples, holders)
    return Fitted(loss, factors, _readout(config, examples, loss, holders))


def stated_loss(config: RunConfig, examples: Examples) -> Loss:
    """The loss before it has seen the data."""
    if config.loss is None:
        return usual_loss(examples.task)
    made = config.loss.build()
    return own_loss(title(config.loss), made) if is_own(config.loss) else made


def _with_those_of_examples(
    factors: np.ndarray | None, examples: Examples, holders: Partition
) -> np.ndarray | None:
    """The factors times the weights of examples, of which training examples have a mean of one. Raises BadInput."""
    if examples.weights is None:
        return factors
    mean = float(examples.weights[holders.flat].mean())
    if not mean > 0:
        raise BadInput(f"dataset: {examples.name}: the weights of all training examples are zero")
    scaled = examples.weights / mean
    return scaled if factors is None else factors * scaled


def _readout(config: RunConfig, examples: Examples, loss: Loss, holders: Partition) -> Readout:
    """How outputs are read. Raises BadInput where targets are to be standardised and cannot be."""
    if not config.target.standardise:
        return Readout(loss.link)
    if examples.task.targets != "regression":
        raise BadInput(f"target.standardise is for regression, and the task is {examples.task.name}")
    if loss.link != "identity":
        raise BadInput(
            f"target.standardise: loss {_label(config)} is of targets as they are; leave one of the two out"
        )
    trained = examples.targets[holders.flat].astype(np.float64)
    trained = trained.reshape(len(trained), -1)
    deviations = trained.std(axis=0)
    scale = np.where(deviations > 0, deviations, 1.0)
    return Readout(loss.link, tuple(scale.tolist()), tuple(trained.mean(axis=0).tolist()))


def _label(config: RunConfig) -> str:
    return "null" if config.loss is None else config.loss.label()


def _suitable(examples: Examples) -> list[str]:
    form = examples.task.measured_as or examples.task.targets
    return [name for name in LOSSES if form in LOSS.factories[name]().targets]
