"""The outputs of the clients' own models, which may be tuned on its training examples before they answer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Tuning
from federated.config.local import LocalTraining
from federated.evaluation.outputs import Outputs
from federated.local_training.engine import local_trainer
from federated.local_training.memory import shard_size
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.run.clients.client_half import model_of
from federated.run.memory import ALGORITHM
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


def own_outputs(
    state: RunState, setup: Setup, models: Outputs, indices: np.ndarray, sizes: np.ndarray
) -> Tensor:
    """Outputs [n, outputs] of each client's own model on its examples. indices, sizes: as of `Outputs.of_each`."""
    personal = setup.parts.algorithm.client.personal
    if personal is not None and personal.tuning is not None:
        return tuned_outputs(state, setup, personal.tuning, indices, sizes)
    return models.of_each(partial(model_of, state, setup), indices, sizes)


def has_own_model(state: RunState, setup: Setup) -> np.ndarray:
    """Which participating clients [K] have a model of their own by the algorithm: those that took part, where it is
    remembered, and those with training examples, where the global one is tuned on them."""
    personal, sizes = setup.parts.algorithm.client.personal, setup.federation.sizes
    assert personal is not None
    remembered = state.clients.get(ALGORITHM, {}) if personal.model is not None else {}
    took_part = np.isin(np.arange(len(sizes)), list(remembered))
    return took_part | (sizes > 0 if personal.tuning is not None else False)


def tuned_outputs(
    state: RunState, setup: Setup, tuning: Tuning, indices: np.ndarray, sizes: np.ndarray
) -> Tensor:
    """The same after the tuning, shard by shard; the batches are those that a client would have in the next round.

    Clients without training examples have nothing to tune on, and answer with the model that they have.
    """
    work, tuned = _work(setup, tuning), Outputs(setup)
    clients, ends = np.flatnonzero(sizes), np.cumsum(sizes)
    tunable = clients[setup.federation.sizes[clients] > 0].tolist()
    if work.local.steps == 0 or not tunable:
        of_each = partial(tuned.of_each, partial(model_of, state, setup))
        return of_each(indices, sizes) if setup.own_models else tuned.of(state.parameters, indices)
    engine, threads = setup.config.engine, threads_of(setup.config.orchestration.threads)
    train, most = local_trainer(work, engine, tunable, threads), shard_size(work, engine)
    parts = []
    for start in range(0, len(clients), most):
        shard = clients[start : start + most]
        models = {client: model_of(state, setup, client) for client in shard.tolist()}
        if holding := shard[setup.federation.sizes[shard] > 0].tolist():
            before = _alike(models[client] for client in holding)
            deltas = train(before, holding, state.round).deltas
            models |= dict(zip(holding, deltas.add_(before), strict=True))
        mine = np.zeros_like(sizes)
        mine[shard] = sizes[shard]
        held = indices[ends[shard[0]] - sizes[shard[0]] : ends[shard[-1]]]
        parts.append(tuned.of_each(models.__getitem__, held, mine))
    return torch.cat(parts)


def _alike(models: Iterable[Tensor]) -> Tensor:
    """Models [P] as an engine receives them: the one that all have, or rows [c, P]."""
    rows = list(models)
    return rows[0] if all(row is rows[0] for row in rows) else torch.stack(rows)


def _work(setup: Setup, tuning: Tuning) -> LocalWork:
    """The clients' local training by the tuning, with the values of `local` where it states none."""
    config = setup.config
    local = config.local.model_copy(
        update={
            "epochs": tuning.epochs or 1,
            "steps": tuning.steps,
            "learning_rate": tuning.learning_rate or config.local.learning_rate,
            "schedule": LocalTraining().schedule,
        }
    )
    return LocalWork(
        setup.model,
        setup.worker.work.loss,
        setup.inputs,
        setup.worker.work.targets,
        setup.federation.clients,
        local,
        config.rounds,
        config.seed,
        config.engine.precision,
        setup.worker.work.weights,
        micro_batch=setup.worker.work.micro_batch,
    )
