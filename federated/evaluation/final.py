"""The detailed evaluation at the end of a run: intervals of the gaps, clients, classes, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.evaluation.clusters import cluster_columns
from federated.evaluation.constant import constant_metrics
from federated.evaluation.measure_tags import counted_class
from federated.evaluation.personalisation import (
    Personalised,
    beside_global,
    by_global,
    personalisation_metrics,
    personalised,
)
from federated.evaluation.predicted import by_own_models, evaluated
from federated.evaluation.sets import EvaluatedSet, resampling
from federated.federation.count_columns import count_columns
from federated.metrics import Metrics
from federated.metrics.by_client import grouped_sums
from federated.metrics.calibration import Confusion, Reliability, class_accuracy, confusion, reliability
from federated.metrics.client_intervals import ClientSums
from federated.metrics.client_sums import client_sums
from federated.metrics.gaps import Gap, out_of_sample_gap, participation_gap
from federated.metrics.measures import Measure, Predictions
from federated.metrics.names import BY_GLOBAL, sides_of_gaps
from federated.metrics.scoring import Scoring, of_clients
from federated.run.preparing.sites import copied_from
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


_GAPS: dict[str, Callable[[ClientSums, ClientSums, int, np.random.Generator], Gap]] = {
    "out_of_sample_gap": out_of_sample_gap,
    "participation_gap": participation_gap,
}


@dataclass(frozen=True, eq=False)
class Generalisation:
    """metrics: full names. clients: a table, one row a client, its columns in `clients_table`.

    confusion: of the central test set, and its reliability; None without classes.
    personalised: the gain of each participating client from a model of its own, where there is a global one beside
    it: of the algorithm, or of the fine-tuning that the config asks for.
    """

    scoring: Scoring
    metrics: Metrics
    clients: dict[str, list[Any]]
    classes: tuple[str, ...]
    confusion: Confusion | None
    reliability: Reliability | None
    personalised: Personalised | None = None

    def classes_table(self) -> dict[str, list[Any]]:
        """One row a class: its test examples, the share that is right, and what they are taken for."""
        if self.confusion is None:
            return {}
        accuracy = class_accuracy(self.confusion)
        return {
            "class": list(self.classes),
            "test_examples": self.confusion.totals.tolist(),
            "accuracy": [_number(value) for value in accuracy],
            **self._taken_for(self.confusion),
        }

    def _taken_for(self, found: Confusion) -> dict[str, list[Any]]:
        rows, columns = found.actual, found.taken_for
        return count_columns("taken for", rows, columns, found.counts, found.classes, self.classes)


def generalisation(state: RunState, setup: Setup) -> Generalisation:
    """Evaluate the final model once more, in detail. Raises Diverged where its outputs are not finite."""
    federation, scoring = setup.federation, setup.scoring
    sums: dict[str, ClientSums | None] = {}
    clients: list[dict[str, list[Any]]] = []
    counts, table, gained, columns = None, None, None, cluster_columns(state, setup)
    for name, part, found in evaluated(state, setup):
        if name == "test" and federation.examples.class_names is not None:
            counts, table = confusion(found.answers, found.targets), reliability(found.answers, found.targets)
        if part.sizes is not None:
            own_models = by_own_models(name, setup)
            sums[name] = client_sums(scoring.headline, found, part.sizes, own_models=own_models)
            if name == "client" and setup.global_beside_own:
                before = by_global(state, setup, part, found)
                if setup.unseen_fit is None:
                    sums[BY_GLOBAL] = client_sums(scoring.headline, before, part.sizes)
                gained = beside_global(state, setup, part.sizes, before, found)
        if name in ("client", "unseen"):
            clients.append({**clients_table(name, part, found, setup), **_clusters(name, part, columns)})
        del found
    metrics = _intervals(sums, scoring.headline.sign, setup.config.seed) | constant_metrics(setup)
    if table is not None:
        metrics["generalisation/test_calibration_error"] = table.error
    rows = {name: [row for part in clients for row in part[name]] for name in clients[0]} if clients else {}
    gained = personalised(state, setup) if setup.config.evaluation.personalisation else gained
    if gained is not None:
        metrics |= personalisation_metrics(gained, scoring.headline, resampling(setup.config.seed))
        rows |= _personal_columns(gained, scoring.headline.name, len(rows["client"]))
    return Generalisation(
        scoring=scoring,
        metrics=metrics,
        clients=rows,
        classes=federation.examples.class_names or (),
        confusion=counts,
        reliability=table,
        personalised=gained,
    )


def _personal_columns(found: Personalised, headline: str, rows: int) -> dict[str, list[Any]]:
    """Columns of the table of clients, of which participating ones come first; None for the others."""
    columns = {f"personalised_{headline}": found.after, "personalisation_gain": found.gains}
    columns |= {} if found.tuned else {f"global_{headline}": found.before}
    return {name: [*map(_number, values), *[None] * (rows - len(values))] for name, values in columns.items()}


def clients_table(name: str, part: EvaluatedSet, found: Predictions, setup: Setup) -> dict[str, list[Any]]:
    """One row a client of the set: name, whether it took part, sizes, divergence, its own measures.

    training_examples: 0 for unseen clients. label_divergence_bits: Jensen-Shannon divergence of the client's training
    labels (unseen: all its labels) from those of all training examples; None for regression and empty clients.
    held_out_positions: of sequences, those that count. held_out_positives: examples (of sequences, positions) of the
    positive class, where there is one.
    Measures: None without held-out examples, or a model: then nothing that is held out counts, see `evaluated_alone`.
    copy_of, copied_share: where clients have withdrawn, see `copied_from`.
    """
    assert part.sizes is not None
    federation, takes_part = setup.federation, name == "client"
    examples = federation.examples
    held = federation.clients if takes_part else federation.unseen
    measured = {measure.name: of_clients(measure, found, part.sizes) for measure in setup.scoring.by_client}
    divergence = np.full(len(held), np.nan)
    if examples.class_names is not None:
        divergence = divergences(held, federation.training, examples.labels_of, len(examples.class_names))
    return {
        "client": list(federation.names if takes_part else federation.unseen_names),
        "takes_part": [takes_part] * len(held),
        "training_examples": federation.sizes.tolist() if takes_part else [0] * len(held),
        "held_out_examples": part.sizes.tolist(),
        **_positions(part, found, examples.position_classes is not None),
        **_positives(part, found, examples.class_names, setup.scoring.main),
        "label_divergence_bits": [_number(value) for value in divergence],
        **{measure: [_number(value) for value in values] for measure, values in measured.items()},
        **(copied_from(federation) if takes_part and setup.config.cohort.without is not None else {}),
    }


def _positions(part: EvaluatedSet, found: Predictions, sequences: bool) -> dict[str, list[int]]:
    """Of sequences, the number of each client's held-out positions that count."""
    if part.sizes is None or not sequences:
        return {}
    return {"held_out_positions": found.rows_of(part.sizes).tolist()}


def _clusters(name: str, part: EvaluatedSet, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The cluster of each client of a set, and its true group where known; None for those that never take part."""
    assert part.sizes is not None
    return {
        column: values if name == "client" else [None] * len(part.sizes) for column, values in columns.items()
    }


def _positives(
    part: EvaluatedSet, found: Predictions, classes: tuple[str, ...] | None, main: Measure
) -> dict[str, list[int]]:
    """The number of each client's held-out examples of the class that is counted."""
    positive = counted_class(classes, main)
    if part.sizes is None or positive is None:
        return {}
    return {
        "held_out_positives": grouped_sums(found.labels == positive, found.rows_of(part.sizes))
        .astype(int)
        .tolist()
    }


def divergences(
    held: Sequence[np.ndarray],
    pool: np.ndarray,
    labels_of: Callable[[np.ndarray], np.ndarray],
    num_classes: int,
) -> np.ndarray:
    """Jensen-Shannon divergence of each client's labels from the pool's, in bits, [K]; NaN for an empty one.

    labels_of: indices of examples -> the classes of these examples, or of their positions.
    """
    from scipy.spatial.distance import jensenshannon

    mixes = np.full((len(held), num_classes), np.nan)
    for row, indices in zip(mixes, held, strict=True):
        if len(indices):
            row[:] = _shares(labels_of(indices), num_classes)
    pooled = _shares(labels_of(pool), num_classes)
    distances = jensenshannon(mixes, np.broadcast_to(pooled, mixes.shape), base=2, axis=1)
    return np.asarray(distances) ** 2


def _shares(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=num_classes) / len(labels)


def _intervals(sums: dict[str, ClientSums | None], sign: int, seed: int) -> Metrics:
    """The ends of the gaps' intervals over clients, where these can be computed."""
    numbers, gaps = resampling(seed), dict[str, Gap]()
    for name, (inner, outer) in sides_of_gaps(sums).items():
        one, other = sums.get(inner), sums.get(outer)
        if one is not None and other is not None:
            gaps[name] = _GAPS[name](one, other, sign, numbers)
    return {
        f"generalisation/{name}_{end}": value
        for name, gap in gaps.items()
        for end, value in (("low", gap.low), ("high", gap.high))
        if value is not None
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
