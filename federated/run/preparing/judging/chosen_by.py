"""The metrics by which a run stops and by which its best round is chosen, and the sets that these may be of."""

from __future__ import annotations

from federated.config.evaluation import MAIN
from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.foundation.errors import BadInput
from federated.foundation.texts import meant
from federated.metrics.dictionary.stated import TUNING_CLIENTS, choosing_metric, judges, main_choosing
from federated.metrics.names import metric_names
from federated.metrics.scoring import Scoring
from federated.run.preparing.trainers import Trainers
from federated.trials import Parts


def without_a_model(config: RunConfig, trainers: Trainers, parts: Parts) -> frozenset[str]:
    """The sets of clients that never take part and have no model: each client has its own or its cluster's, and there
    is no other. Those that choose have none either where those that judge fit a part of it.
    """
    personal, keeps = parts.algorithm.client.personal, parts.travelling.keeps
    fits = config.evaluation.unseen_fit is not None
    if parts.algorithm.clusters is not None:
        none = True
    elif personal is not None:
        none = not personal.beside_global
    else:
        none = trainers.kind.own_models or (keeps and not fits)
    if none:
        return frozenset({"unseen", TUNING_CLIENTS})
    return frozenset({TUNING_CLIENTS} if fits and (keeps or personal is not None) else ())


def named(metric: str, scoring: Scoring, federation: Federation, without: frozenset[str]) -> str:
    """The metric, by its name where it is the main one. without: the sets that have no model, see `without_a_model`."""
    if metric != MAIN:
        return metric
    return main_choosing(scoring.main.name, federation.held_out_sets().keys() - without)


def check_chosen_by(
    config: RunConfig, federation: Federation, scoring: Scoring, without: frozenset[str]
) -> None:
    """Raise BadInput where a rule watches what is not measured, or what judges where there are data to choose by."""
    sizes = {
        name: len(indices) for name, indices in federation.held_out_sets().items() if name not in without
    }
    allowed = metric_names(scoring, sizes)
    watched = {
        "stop.metric": None if config.stop is None else config.stop.metric,
        "evaluation.best_by": config.evaluation.best_by,
    }
    for field, metric in watched.items():
        if metric is None:
            continue
        if metric not in (MAIN, *allowed):
            hint = meant(metric, allowed)
            raise BadInput(
                f"{field}: {metric!r} is not measured here; {hint}allowed: {', '.join([MAIN, *allowed])}"
            )
        if config.holdout.has_tuning:
            name = named(metric, scoring, federation, without)
            if metric == MAIN and judges(name):
                raise BadInput(f"{field}: main: {nothing_chooses(config, without)}")
            choosing_metric(name, field)


def nothing_chooses(config: RunConfig, without: frozenset[str]) -> str:
    """Why there is no main measure on a set that chooses, although some data are set aside for it."""
    if config.holdout.tuning_clients and TUNING_CLIENTS in without:
        whose = f"training: {config.training}" if not config.kind.has_server else config.algorithm.label()
        return (
            f"the clients of holdout.tuning_clients have no model with {whose}, so nothing here chooses; state "
            "holdout.tuning, such as 0.1, too, or name another metric"
        )
    return "no client has examples enough for holdout.tuning, so nothing here chooses; state a larger share"
