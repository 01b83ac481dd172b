"""Evaluation of the global model on held-out data and a sample of training data, pooled and by client."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.evaluation.outputs import Outputs
from federated.evaluation.personalisation import personalisation_metrics, personalised
from federated.evaluation.sets import EvaluatedSet, evaluated_alone, evaluated_sets, resampling
from federated.foundation.errors import Diverged
from federated.metrics import Metrics
from federated.metrics.by_client import are_finite, distribution
from federated.metrics.client_intervals import ClientSums
from federated.metrics.measures import Measure
from federated.metrics.names import GAPS
from federated.metrics.scoring import client_sums, of_clients
from federated.run.clients.client_half import model_of
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


def evaluate(state: RunState, setup: Setup) -> Metrics:
    """`generalisation/*` of the global model on every evaluated set. Raises Diverged where it is not finite."""
    scoring, metrics = setup.scoring, Metrics()
    headline = scoring.headline
    sums: dict[str, ClientSums] = {}
    for name, part, outputs, targets in evaluated(state, setup):
        found = scoring.predictions(outputs, targets)
        metrics |= {f"{name}_{measure}": value for measure, value in scoring.measured(found).items()}
        if part.sizes is not None:
            sums[name] = client_sums(headline, found, part.sizes)
            if name != "training":
                for measure in scoring.spread:
                    metrics |= _over_clients(name, measure, of_clients(measure, found, part.sizes))
        del outputs, found
    options = setup.config.evaluation.personalisation
    if options is not None and options.at == "evaluations":
        tuned = personalised(state, setup)
        more = personalisation_metrics(tuned, headline, resampling(setup.config.seed))
        metrics |= {name.removeprefix("generalisation/"): value for name, value in more.items()}
    for gap, (inner, outer) in GAPS.items():
        if inner in sums and outer in sums:
            metrics[gap] = headline.sign * (sums[inner].mean() - sums[outer].mean())
    return {f"generalisation/{name}": value for name, value in metrics.items()}


def evaluated(state: RunState, setup: Setup) -> Iterator[tuple[str, EvaluatedSet, Tensor, Tensor]]:
    """(name, set, outputs [n, outputs], targets) of every evaluated set, on the CPU. Raises Diverged as above.

    The outputs are those of the global model; where clients have models of their own, of the model of the client that
    has the example.
    """
    config, own, models = setup.config, setup.own_models, Outputs(setup)
    make = evaluated_alone if own else evaluated_sets
    for name, part in make(setup.federation, config.evaluation.training_examples, config.seed).items():
        if own and part.sizes is not None:
            outputs = models.of_each(partial(model_of, state, setup), part.indices, part.sizes)
        else:
            outputs = models.of(state.parameters, part.indices)
        targets = setup.targets[torch.from_numpy(part.indices).to(setup.targets.device)]
        if not are_finite(outputs):
            raise Diverged(f"round {state.round}: the model's outputs on the {name} set are not finite")
        yield name, part, outputs.cpu(), targets.cpu()
        del outputs  # of thousands of classes there is room for those of one set


def _over_clients(name: str, measure: Measure, values: np.ndarray) -> Metrics:
    spread = distribution(values, higher_is_better=measure.better == "higher")
    return {f"{name}_{measure.name}_{statistic}": value for statistic, value in spread.items()}
