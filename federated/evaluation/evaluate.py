"""Evaluation of the global model on held-out data and a sample of training data, pooled and by client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.evaluation.clusters import cluster_metrics
from federated.evaluation.personalisation import (
    Personalised,
    beside_global,
    by_global,
    personalisation_metrics,
    personalised,
)
from federated.evaluation.predicted import by_own_models, evaluated
from federated.evaluation.sets import resampling
from federated.metrics import Metrics
from federated.metrics.by_client import CLIENTS, distribution
from federated.metrics.client_sums import pooled
from federated.metrics.measures import Measure, Predictions
from federated.metrics.names import BY_GLOBAL, sides_of_gaps
from federated.metrics.scoring import of_clients
from federated.run.clients.canaries import empirical_metrics
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


def evaluate(state: RunState, setup: Setup) -> Metrics:
    """`generalisation/*` of the global model on every evaluated set, and the leak that canaries show.

    Raises Diverged where the model's outputs are not finite.
    """
    scoring, metrics = setup.scoring, Metrics()
    headline = scoring.headline
    levels: dict[str, float] = {}
    for name, part, found in evaluated(state, setup):
        metrics |= _of_thresholds(found) if name == "test" else {}
        own_models = by_own_models(name, setup)
        models = part.sizes if own_models else None
        metrics |= {f"{name}_{measure}": value for measure, value in scoring.measured(found, models).items()}
        if name == "test" and setup.global_beside_own:
            once = part._replace(indices=setup.federation.test)  # and not the clients' parts of it
            if not np.isnan(level := headline.of(by_global(state, setup, once, found))):
                metrics[f"global_test_{headline.name}"] = level
        if part.sizes is not None:
            levels[name] = pooled(headline, found, part.sizes, own_models=own_models)
            if name != "training":
                for measure in scoring.spread:
                    metrics |= _over_clients(name, measure, of_clients(measure, found, part.sizes))
            if name == "client" and setup.global_beside_own:
                before = by_global(state, setup, part, found)
                if setup.unseen_fit is None:
                    levels[BY_GLOBAL] = pooled(headline, before, part.sizes)
                metrics |= _personal(setup, beside_global(state, setup, part.sizes, before, found))
        del found
    options = setup.config.evaluation.personalisation
    if options is not None and options.at == "evaluations":
        metrics |= _personal(setup, personalised(state, setup))
    for gap, (inner, outer) in sides_of_gaps(levels).items():
        if not np.isnan(level := levels.get(inner, np.nan) - levels.get(outer, np.nan)):
            metrics[gap] = headline.sign * level
    named = {f"generalisation/{name}": value for name, value in metrics.items()}
    return named | cluster_metrics(state, setup) | empirical_metrics(state, setup)


def _personal(setup: Setup, found: Personalised) -> Metrics:
    more = personalisation_metrics(found, setup.scoring.headline, resampling(setup.config.seed))
    return {name.removeprefix("generalisation/"): value for name, value in more.items()}


def _of_thresholds(found: Predictions) -> Metrics:
    return {f"threshold_{name}": at for name, at in found.thresholds.items() if not np.isnan(at)}


def _over_clients(name: str, measure: Measure, values: np.ndarray) -> Metrics:
    """The distribution over clients, and for how many the measure is defined, where that is not all with examples."""
    spread = distribution(values, higher_is_better=measure.better == "higher")
    if measure.needs:
        spread[CLIENTS] = int(np.isfinite(values).sum())
    kept = (*measure.statistics, CLIENTS)
    return {
        f"{name}_{measure.name}_{statistic}": value
        for statistic, value in spread.items()
        if statistic in kept
    }
