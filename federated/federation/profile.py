"""Counts of a federation's examples and clients, and the score of a constant prediction, for MLflow and the report."""

from __future__ import annotations

import numpy as np

from federated.federation.federation import Federation
from federated.foundation.texts import listed

OF_TRAINING_CLIENTS = "test_examples_of_training_clients"
"""Examples of the central test set whose natural client is also in the training data; absent where there are none."""
CONSTANT_ACCURACY = "test_constant_accuracy"
"""Accuracy on the central test set of always predicting the most frequent class of the training examples."""


def data_profile(federation: Federation) -> dict[str, int | float | str]:
    """The profile of the data set of a run, with the digest of its partition."""
    return {
        "examples": len(federation.examples.targets),
        "training_examples": int(federation.sizes.sum()),
        "clients": len(federation.clients),
        "unseen_clients": len(federation.unseen),
        **({"unseen_names": listed(federation.unseen_names)} if federation.unseen else {}),
        **{f"{name}_examples": len(indices) for name, indices in federation.held_out_sets().items()},
        **_overlap(federation),
        **_constant(federation),
        "partition_digest": federation.partition_digest,
    }


def _overlap(federation: Federation) -> dict[str, int]:
    ids = federation.examples.client_ids
    if ids is None:
        return {}
    return {OF_TRAINING_CLIENTS: int(np.isin(ids[federation.test], ids[federation.training]).sum())}


def _constant(federation: Federation) -> dict[str, float]:
    targets, classes = federation.examples.targets, federation.examples.classes
    if classes is None or not len(federation.training):
        return {}
    most_frequent = np.bincount(targets[federation.training], minlength=len(classes)).argmax()
    return {CONSTANT_ACCURACY: float((targets[federation.test] == most_frequent).mean())}
