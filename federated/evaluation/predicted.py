"""Predictions of a run's models on every evaluated set, with the thresholds that were chosen before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from federated.evaluation.outputs import Outputs
from federated.evaluation.sets import EvaluatedSet, choosing_set, evaluated_alone, evaluated_sets
from federated.evaluation.tuning import own_outputs
from federated.evaluation.unseen import fitted_outputs
from federated.foundation.errors import Diverged
from federated.metrics.by_client import are_finite
from federated.metrics.dictionary.stated import NEVER_TRAINED
from federated.metrics.measures import Predictions
from federated.metrics.measures.predictions import NO_THRESHOLDS
from federated.run.preparing.judging.chosen_by import without_a_model
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


def evaluated(state: RunState, setup: Setup) -> Iterator[tuple[str, EvaluatedSet, Predictions]]:
    """(name, set, predictions on the CPU) of every evaluated set. Raises Diverged where outputs are not finite.

    The predictions are those of the global model; where clients have models of their own, of the model of the client
    that has the example, and on unseen clients of the global model beside them, or with the part that they fitted.
    """
    models, sets, thresholds = Outputs(setup), sets_of(setup), chosen_thresholds(state, setup)
    for name, part in sets.items():
        # of thousands of classes there is room for the outputs of one set: nothing here keeps them
        yield name, part, _predicted(name, part, state, setup, models, thresholds)


def by_own_models(name: str, setup: Setup) -> bool:
    """Whether the examples of a set are answered by models of the clients' own."""
    fitted = name == "unseen" and setup.unseen_fit is not None
    return setup.own_models and (name not in NEVER_TRAINED or fitted)


class Ready(NamedTuple):
    """What evaluations of several runs can share. part: the set. models: those that answer, on the run's setup."""

    part: EvaluatedSet
    models: Outputs


def predicted_on(
    name: str, state: RunState, setup: Setup, ready: Ready | None = None
) -> tuple[EvaluatedSet, Predictions]:
    """The same of one set alone, which must not be empty."""
    part, models = ready or Ready(sets_of(setup)[name], Outputs(setup))
    return part, _predicted(name, part, state, setup, models, chosen_thresholds(state, setup))


def chosen_thresholds(state: RunState, setup: Setup) -> Mapping[str, float]:
    """The thresholds of the run's measures, by the names of their rules, chosen on examples that do not judge.

    One for all clients, where each has a model of its own too.
    """
    if not setup.scoring.thresholds:
        return NO_THRESHOLDS
    name = choosing_set(setup.federation, without_a_model(setup.config, setup.trainers, setup.parts))
    return setup.scoring.chosen(_predicted(name, sets_of(setup)[name], state, setup, Outputs(setup)))


def sets_of(setup: Setup) -> dict[str, EvaluatedSet]:
    """The sets on which a run's models are evaluated."""
    options = setup.config.evaluation
    given = setup.federation, options.training_examples, setup.config.seed, options.unseen_fit
    if not setup.own_models:
        return evaluated_sets(*given)
    without = without_a_model(setup.config, setup.trainers, setup.parts)
    gone = _withdrawn(setup) if "unseen" in without and setup.config.cohort.without else None
    return evaluated_alone(*given, without=without, gone=gone)


def _withdrawn(setup: Setup) -> np.ndarray:
    """The participating clients that have left, bool [K]."""
    left = set(setup.config.cohort.without or ())
    return np.array([name in left for name in setup.federation.names])


def _predicted(
    name: str,
    part: EvaluatedSet,
    state: RunState,
    setup: Setup,
    models: Outputs,
    thresholds: Mapping[str, float] = NO_THRESHOLDS,
) -> Predictions:
    if name == "unseen" and setup.unseen_fit is not None:
        outputs = fitted_outputs(state, setup, setup.unseen_fit, part)
    elif setup.own_models and part.sizes is not None and name not in NEVER_TRAINED:
        outputs = own_outputs(state, setup, models, part.indices, part.sizes)
    else:
        outputs = models.of(state.parameters, part.indices)
    targets = setup.targets[torch.from_numpy(part.indices).to(setup.targets.device)]
    if not are_finite(outputs):
        raise Diverged(f"round {state.round}: the model's outputs on the {name} set are not finite")
    return setup.scoring.predictions(outputs.cpu(), targets.cpu(), thresholds)
