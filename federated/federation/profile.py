"""Counts of a federation's examples and clients, for MLflow and the report."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import flat_of
from federated.federation.federation import Federation

OF_TRAINING_CLIENTS = "test_examples_of_training_clients"
"""Examples of the central test set whose natural client is also in the training data; absent where there are none."""
OF_UNSEEN_CLIENTS = "test_examples_of_unseen_clients"
"""Examples of it whose natural client never takes part."""


def data_profile(federation: Federation) -> dict[str, int | float | str]:
    """The profile of the data set of a run, with the digest of its partition."""
    return {
        "examples": len(federation.examples.targets),
        "training_examples": int(federation.sizes.sum()),
        "clients": len(federation.clients),
        "unseen_clients": len(federation.unseen),
        **({"tuning_clients": len(federation.tuning_names)} if federation.tuning_names else {}),
        **{f"{name}_examples": len(indices) for name, indices in federation.held_out_sets().items()},
        **_overlap(federation),
        "partition_digest": federation.partition_digest,
    }


def _overlap(federation: Federation) -> dict[str, int]:
    ids = federation.examples.client_ids
    if ids is None:
        return {}
    owners = ids[federation.test]
    held = {OF_TRAINING_CLIENTS: federation.clients, OF_UNSEEN_CLIENTS: federation.unseen}
    return {
        name: int(np.isin(owners, ids[flat_of(parts)]).sum()) if len(parts) else 0
        for name, parts in held.items()
    }
