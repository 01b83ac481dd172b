"""The tags of a run about its measures: the main one, its positive class, and the set that chooses thresholds."""

from __future__ import annotations

from federated.evaluation.sets import choosing_set
from federated.federation.federation import Federation
from federated.metrics.names import main_metric
from federated.metrics.scoring import Scoring


def measure_tags(scoring: Scoring, federation: Federation) -> dict[str, str]:
    """`main_metric`; where there are any, the class that it is about and the set that chooses thresholds."""
    classes, positive = federation.examples.class_names, scoring.main.positive
    return {
        "main_metric": main_metric(scoring),
        **({"positive_class": classes[positive]} if classes and positive is not None else {}),
        **({"thresholds_chosen_on": choosing_set(federation)} if scoring.thresholds else {}),
    }
