"""The reports of a round's shards, told apart by whose they are: clients' or canaries'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.metrics import Metrics
from federated.run.divergence import counts_as_zeros
from federated.run.worker import Worker
from federated.shards.report import ShardReport
from federated.wire.ledger import total_bytes

_NONE = 1e-9
"""Rounding in what is left of weights that are taken from their sum."""


def mean_loss(reports: Sequence[ShardReport], weights: np.ndarray, num_canaries: int) -> float | None:
    """The mean loss of the clients, whose reports these are; None where there are none, or none has a finite one.

    weights: of the clients [C] in the mean of all updates, of which canaries have a part too.
    """
    if not reports:
        return None
    total, lost = sum(report.loss for report in reports), sum(report.without_loss for report in reports)
    if not (num_canaries or lost):
        return total
    counted = float(weights.sum()) - lost
    return total / counted if counted > _NONE else None


def zeroed_clients(worker: Worker, reports: Sequence[ShardReport]) -> int | None:
    """How many clients' updates were not finite and counted as zeros; None where that would end the run."""
    return sum(report.zeroed_clients for report in reports) if counts_as_zeros(worker) else None


def bounded_gradients(reports: Sequence[ShardReport]) -> tuple[int, int] | None:
    """How many gradients of single examples were longer than their bound, of how many; None in plain steps."""
    found = [report.bounded for report in reports if report.bounded is not None]
    return (sum(longer for longer, _ in found), sum(every for _, every in found)) if found else None


def canary_metrics(reports: Sequence[ShardReport]) -> Metrics:
    """What canaries sent, by the reports of their shards; it is in no other figure of a round."""
    return {
        "privacy/canary_clients": sum(len(report.clients) for report in reports),
        "communication/canary_bytes": sum(total_bytes(report.uplink) for report in reports),
    }
