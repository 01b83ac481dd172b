"""The expected training effort of a federated run, allotted to training without a server.

Clients are sampled uniformly, so in expectation each takes part in cohort / clients of the rounds. In every round,
centralised training uses as many examples as a cohort in expectation, in batches of the mean size of the clients'
own. In local training clients take turns (`in_turn`), as many in a round as a cohort has, each with its own model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_partitioners.partition import sizes_of
from federated.algorithms.local_terms import LocalTerms
from federated.config.local import LocalTraining
from federated.config.run import RunConfig


class _Visit(NamedTuple):
    """The expected effort of each client for one participation, float64 [K]."""

    examples: np.ndarray
    steps: np.ndarray
    batch: np.ndarray


def centralised_training(config: RunConfig, clients: Sequence[np.ndarray], cohort_size: int) -> LocalTraining:
    """The local options with which the single holder of all examples trains in a round.

    Examples: the expected number of the cohort. Batch: the mean of the clients' full batches over their steps,
    which is `local.batch_size` where all clients hold that many. Everything else is as in `local`. A federation of
    one client gives that client's own local training.
    """
    every = sizes_of(clients)
    sizes = every[every > 0]
    visit, total = _visit(config.local, sizes), int(sizes.sum())
    batch = max(1, round(float(visit.steps @ visit.batch / visit.steps.sum())))
    examples = round(cohort_size / len(sizes) * float(visit.examples.sum()))
    epochs, rest = divmod(examples, total)
    per_epoch = -(-total // batch)
    steps = max(1, epochs * per_epoch + min(round(rest / batch), per_epoch))
    return config.local.model_copy(update={"epochs": None, "steps": steps, "batch_size": batch})


def terms_in_turn(
    config: RunConfig, clients: Sequence[np.ndarray], cohort_size: int, turn: Sequence[int]
) -> LocalTerms:
    """The training of these clients when it is their turn: `local`, or a share of it where there are too few turns."""
    share = config.rounds * cohort_size / np.count_nonzero(sizes_of(clients))
    if share >= 1:
        return LocalTerms()
    visit = _visit(config.local, np.array([len(clients[client]) for client in turn]))
    return LocalTerms(steps=np.maximum(np.rint(share * visit.steps), 1).astype(np.int64))


def _visit(local: LocalTraining, sizes: np.ndarray) -> _Visit:
    """sizes: training examples of each client [K], none of them zero. The mean of a range is what it is worth."""
    batch = np.minimum(local.batch_size or sizes, sizes)
    per_epoch = np.ceil(sizes / batch)
    if local.steps is None:
        epochs = float(np.mean(local.passes))
        return _Visit(epochs * sizes, epochs * per_epoch, batch)
    steps = float(np.mean(local.steps))
    epochs_done, rest = np.divmod(np.full(len(sizes), steps), per_epoch)
    examples = epochs_done * sizes + np.minimum(rest * batch, sizes)
    return _Visit(examples, np.full(len(sizes), steps), batch)
