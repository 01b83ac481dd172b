"""The fingerprint of a federation: measured once for each distinct partition, shared by all runs that have it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data_partitioners import Partition
from data_partitioners.heterogeneity import (
    Fingerprint,
    binned_targets,
    joined,
    label_counts,
    label_fingerprint,
    projected,
    sampled,
    shift_fingerprint,
    size_fingerprint,
)
from data_partitioners.partition import Slices, sizes_of
from federated.federation.count_columns import count_columns
from federated.federation.federation import Federation
from federated.federation.per_partition_cache import once_per_partition
from federated.foundation.randomness import Purpose, generator
from federated.metrics import Metrics

_LABELS, _FEATURES, _TARGETS, _DIRECTIONS = range(4)  # keys of Purpose.FINGERPRINT
_FEATURE_EXAMPLES, _TARGET_EXAMPLES = 2_048, 20_000


class LabelTable(NamedTuple):
    """Training examples of each label at each participating client: int64 [K, C], and a name for each label.

    Labels are the classes, of sequences counted in positions; for regression, bins that hold a tenth of the training
    targets each (of the first, where an example has several).
    """

    counts: np.ndarray
    names: tuple[str, ...]


def label_table(federation: Federation) -> LabelTable:
    """The number of examples of each label at each client."""
    examples, counts = federation.examples, federation.label_counts()
    if examples.class_names is not None and counts is not None:
        return LabelTable(counts, examples.class_names)
    targets = examples.targets.reshape(len(examples.targets), -1)[federation.training, 0]
    bins, names = binned_targets(targets)
    dealt = Slices(np.arange(len(bins)), federation.sizes)
    return LabelTable(label_counts(bins, Partition(dealt, federation.names), len(names)), names)


@once_per_partition
def fingerprint_of(federation: Federation) -> Fingerprint:
    """Every measure of the participating clients' training examples, with its null band.

    A function of the data and the partition alone: the numbers that null bands and samples are drawn with do
    not depend on the run's seed.
    """
    labels = label_fingerprint(label_table(federation).counts, generator(0, Purpose.FINGERPRINT, _LABELS))
    parts = [size_fingerprint(federation.sizes), labels]
    if federation.examples.class_names is None:
        parts.append(_target_shift(federation))
    if federation.examples.inputs.dtype.kind != "i":  # the distance of two tokens means nothing
        parts.append(_feature_shift(federation))
    return joined(*parts)


def heterogeneity_metrics(federation: Federation) -> Metrics:
    """The `heterogeneity/*` metrics of a run: each measure, and the ends of its null band where it has one."""
    metrics: Metrics = {}
    for name, measured in fingerprint_of(federation).measures.items():
        metrics[f"heterogeneity/{name}"] = measured.value
        if measured.low is not None and measured.high is not None:
            metrics[f"heterogeneity/{name}_null_low"] = measured.low
            metrics[f"heterogeneity/{name}_null_high"] = measured.high
    metrics["heterogeneity/moved_examples"] = float(federation.whole.moved)
    handed_out = len(federation.test) + int(federation.whole.sizes.sum())
    metrics["heterogeneity/left_out_examples"] = float(len(federation.examples.targets) - handed_out)
    for name, count in federation.copies.items():
        metrics[f"heterogeneity/{name}_duplicates"] = float(count)
    return metrics | {f"heterogeneity/{name}": value for name, value in federation.whole.notes.items()}


def client_table(federation: Federation) -> dict[str, list[Any]]:
    """One row a participating client: what it holds and how unlike the pool it is; None where that has no meaning."""
    counts, names = label_table(federation)
    label = "target" if federation.examples.class_names is None else "class"
    measures = fingerprint_of(federation).by_client
    holds, labels = counts.nonzero()
    validation, tuning = sizes_of(federation.own_validation), sizes_of(federation.own_tuning)
    return {
        "client": list(federation.names),
        "training_examples": federation.sizes.tolist(),
        "held_out_examples": sizes_of(federation.own_held_out).tolist(),
        **({"validation_examples": validation.tolist()} if validation.any() else {}),
        **({"tuning_examples": tuning.tolist()} if tuning.any() else {}),
        **{name: [None if np.isnan(v) else float(v) for v in values] for name, values in measures.items()},
        **count_columns(label, holds, labels, counts[holds, labels], len(counts), names),
    }


def _target_shift(federation: Federation) -> Fingerprint:
    numbers = generator(0, Purpose.FINGERPRINT, _TARGETS)
    rows, owners = sampled(_participants(federation), _TARGET_EXAMPLES, numbers)
    targets = federation.examples.targets
    values = targets.reshape(len(targets), -1)[rows].astype(np.float64)
    return shift_fingerprint("label_wasserstein", values, owners, federation.sizes, numbers)


def _feature_shift(federation: Federation) -> Fingerprint:
    numbers = generator(0, Purpose.FINGERPRINT, _FEATURES)
    rows, owners = sampled(_participants(federation), _FEATURE_EXAMPLES, numbers)
    directions = generator(0, Purpose.FINGERPRINT, _DIRECTIONS)
    values = projected(federation.examples.inputs, rows, directions)
    return shift_fingerprint("feature_wasserstein", values, owners, federation.sizes, numbers)


def _participants(federation: Federation) -> Partition:
    return Partition(federation.clients, federation.names)
