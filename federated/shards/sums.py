"""The updates of a round's shards as one: of the whole cohort, or of its clients without canaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.run.clients.cohort import count_of, counts_of
from federated.run.setup import Setup
from federated.shards.report import ShardReport
from federated.wire.sum_alone import sum_of


def aggregated(setup: Setup, done: int, reports: Sequence[ShardReport], cohort: np.ndarray) -> Tensor:
    """The update [P] of the whole cohort."""
    aggregator = setup.parts.aggregator
    if not reports:
        return torch.zeros(setup.initial_parameters.shape)
    if setup.parts.transport.reveals == "sum":
        travelled = [payload for report in reports for payload in report.travelled]
        whole = sum_of(setup.worker, done, travelled, cohort, counts_of(cohort, setup))
        return aggregator.reduce(np.full(1, 1 / count_of(cohort, setup)), whole)
    if aggregator.linear:
        return total([report.update for report in reports])
    weights = np.concatenate([report.weights for report in reports])
    return aggregator.reduce(weights, torch.cat([report.update for report in reports]))


def sent_by(setup: Setup, done: int, reports: Sequence[ShardReport]) -> Tensor:
    """What clients sent without the canaries [P], of any length; zeros where masks hide the sum of some."""
    transport = setup.parts.transport
    hidden = transport.reveals == "sum" and transport.protocol is None
    if hidden or not reports or not setup.config.privacy.canaries:
        return torch.zeros(setup.initial_parameters.shape)
    return aggregated(setup, done, reports, np.concatenate([report.clients for report in reports]))


def total(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return torch.stack(list(parts)).sum(dim=0)
