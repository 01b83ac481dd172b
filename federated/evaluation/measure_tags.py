"""The tags of a run about its measures: the main one, its positive class, and the set that chooses thresholds."""

from __future__ import annotations

from collections.abc import Collection

from federated.evaluation.sets import choosing_set
from federated.federation.federation import Federation
from federated.metrics.measures import Measure
from federated.metrics.names import main_metric
from federated.metrics.scoring import Scoring


def counted_class(classes: tuple[str, ...] | None, main: Measure) -> int | None:
    """The class whose examples the table of clients counts: that of the main measure, else of two the second."""
    if classes is None:
        return None
    return 1 if main.positive is None and len(classes) == 2 else main.positive


def measure_tags(
    scoring: Scoring, federation: Federation, without: Collection[str] = (), judged_on: str = "test"
) -> dict[str, str]:
    """`main_metric`, on the set that judges; where there are any, the class that it is about, the one that the table of
    clients counts, and the set that chooses thresholds, which is none of `without`, the sets of clients that have no
    model.
    """
    classes, positive = federation.examples.class_names, scoring.main.positive
    counted = counted_class(classes, scoring.main)
    return {
        "main_metric": main_metric(scoring, judged_on),
        **({"positive_class": classes[positive]} if classes and positive is not None else {}),
        **({"counted_class": classes[counted]} if classes and counted is not None else {}),
        **({"thresholds_chosen_on": choosing_set(federation, without)} if scoring.thresholds else {}),
    }
