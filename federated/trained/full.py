"""Everything is trained."""

from __future__ import annotations

from federated.trained.part import TrainedPart


def full() -> TrainedPart:
    """Everything that the model itself does not freeze, in training mode throughout; all of it travels."""
    return lambda module: module
