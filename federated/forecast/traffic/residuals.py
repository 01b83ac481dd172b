"""The bytes of the residuals of low-rank adapters that a run will send."""

from __future__ import annotations

from itertools import islice

import numpy as np

from federated.aggregators.lora.adapters import Adapter
from federated.aggregators.lora.rules import rest_beside
from federated.compressors import HEADER_BYTES
from federated.run.clients.cohort import cohorts
from federated.run.setup import Setup
from federated.wire.kept import replayed, worth_keeping

_MOST_REPLAYED = 10_000


def residual_bytes(setup: Setup) -> float:
    """At most so many over all clients and rounds, which it is where no two clients' factors have rows in common.

    Who takes part when is known beforehand, and with it what each client lacks. Of more rounds than 10,000 those first
    ones, and the others alike.
    """
    if not setup.parts.aggregator.beside:
        return 0.0
    whole = 4 * setup.model.num_residual + HEADER_BYTES
    held = np.zeros(len(setup.federation.clients), np.int64)
    kept, sent, made = list[int](), 0, 0
    rounds = min(setup.last_round, _MOST_REPLAYED)
    for cohort in islice(cohorts(setup), rounds):
        for client in cohort.clients.tolist():
            count = replayed(int(held[client]), made, kept, whole)
            sent += whole if count is None else sum(kept[len(kept) - count :])
        held[cohort.clients] = made
        if len(cohort.heard):
            kept.append(_payload(setup, cohort.heard))
            made += 1
        kept = kept[len(kept) - worth_keeping(kept, whole) :]
    return sent * setup.last_round / rounds


def _payload(setup: Setup, heard: np.ndarray) -> int:
    """Bytes of one round's residuals, after these clients were heard."""
    return HEADER_BYTES + 4 * sum(
        _numbers(adapter, _rank(setup, adapter, heard)) for adapter in setup.parts.adapters
    )


def _rank(setup: Setup, adapter: Adapter, heard: np.ndarray) -> int:
    """The rank of what is added: a row of A for each client that has it, beyond the mean one less where all do."""
    most = len(heard) - (setup.parts.aggregator.of_products is rest_beside)
    ranks = setup.parts.ranks
    if ranks is None:
        return most * adapter.rank
    own = np.array([each.rank for each in ranks.each])[ranks.of[heard]]
    return sum(min(int((own > row).sum()), most) for row in range(adapter.rank))


def _numbers(adapter: Adapter, rank: int) -> int:
    """The rank, and the factors or the matrix itself, whichever is smaller."""
    assert adapter.beside is not None
    rows, columns = adapter.beside.shape
    return 1 + min(min(rank, rows, columns) * (rows + columns), rows * columns)
