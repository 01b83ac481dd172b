"""The work of a workload as plain arrays: the same for every rival, whatever it is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from federated.foundation.randomness import Purpose, generator
from federated.local_training.steps.batches import epoch_orders
from federated.run.clients.cohort import sample_cohort
from federated.run.setup import Setup, prepare


@dataclass(frozen=True, eq=False)
class Work:
    """Data, partition, cohorts and initial model. Examples are uint8 images [N, 1, 28, 28], targets int64 [N].

    clients: the training examples of each client; test: the test set; cohorts: the clients of each round.
    module: the initial model. orders: the order of a client's examples in a round, by (rounds done, client).
    """

    inputs: np.ndarray
    targets: np.ndarray
    clients: Sequence[np.ndarray]
    test: np.ndarray
    cohorts: Sequence[np.ndarray]
    module: nn.Module
    orders: dict[tuple[int, int], np.ndarray]
    batch_size: int
    learning_rate: float
    momentum: float


def work_of(setup: Setup) -> Work:
    """The work of a prepared run, drawn by fedstudy's own functions. One local epoch is taken for granted."""
    config, federation = setup.config, setup.federation
    assert config.local.batch_size is not None
    assert config.local.epochs == 1
    cohorts = [sample_cohort(setup, done) for done in range(config.rounds)]
    return Work(
        inputs=federation.examples.inputs,
        targets=federation.examples.targets,
        clients=federation.clients,
        test=federation.test,
        cohorts=cohorts,
        module=initial_module_of(setup),
        orders={
            (done, int(client)): _order(setup, done, int(client))
            for done, cohort in enumerate(cohorts)
            for client in cohort
        },
        batch_size=config.local.batch_size,
        learning_rate=config.local.learning_rate,
        momentum=config.local.momentum,
    )


def initial_module_of(setup: Setup) -> nn.Module:
    """The model before the first round, a module of its own."""
    return setup.model.independent_module(setup.initial_parameters)


def _order(setup: Setup, done: int, client: int) -> np.ndarray:
    """The client's examples in the order in which fedstudy trains on them in that round."""
    held, local = setup.federation.clients[client], setup.config.local
    numbers = generator(setup.config.seed, Purpose.BATCHES, done, client)
    (order,) = epoch_orders(numbers, held, local.batch_size, 1, None)
    return order


def save(work: Work, path: Path, model: str) -> None:
    """Write the work to an .npz that a peer reads without fedstudy; ragged arrays joined, with their sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "inputs": work.inputs,
        "targets": work.targets,
        "test": work.test,
        "cohorts": np.stack(work.cohorts),
        "clients": np.concatenate(work.clients),
        "sizes": np.array([len(held) for held in work.clients]),
        "local": np.array([work.batch_size, work.learning_rate, work.momentum]),
        "model": np.array(model),
        **{f"parameters/{k}": v.numpy() for k, v in work.module.state_dict().items()},
    }
    np.savez(path, allow_pickle=False, **arrays)


__all__ = ["Work", "prepare", "save", "work_of"]
