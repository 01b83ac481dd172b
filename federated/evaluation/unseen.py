"""Clients that never take part, where every client keeps a part of the model: they fit it to a few of their examples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms, Phase
from federated.config.evaluation import UnseenFit
from federated.config.local import LocalTraining
from federated.evaluation.outputs import Outputs
from federated.evaluation.sets import EvaluatedSet
from federated.federation.federation import Federation
from federated.foundation.randomness import Purpose, generator
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_FIT = 3  # key of Purpose.EVALUATION
_OTHER_BATCHES = 2


def fitting_examples(federation: Federation, fit: UnseenFit, seed: int) -> list[np.ndarray]:
    """The examples on which each unseen client fits, drawn at random: at most half of those that it holds.

    None at all of a client with fewer than four, as batch normalisation cannot be trained on a single example.
    """
    counts = [min(fit.examples, len(held) // 2) for held in federation.unseen]
    return [
        generator(seed, Purpose.EVALUATION, _FIT, at).permutation(held)[: count if count > 1 else 0]
        for at, (held, count) in enumerate(zip(federation.unseen, counts, strict=True))
    ]


def judging_examples(federation: Federation, fit: UnseenFit, seed: int) -> EvaluatedSet:
    """All other examples of the unseen clients, by which every arm is judged alike."""
    fitted = fitting_examples(federation, fit, seed)
    rest = [held[~np.isin(held, taken)] for held, taken in zip(federation.unseen, fitted, strict=True)]
    return EvaluatedSet(np.concatenate(rest), np.array([len(part) for part in rest], np.int64))


def fitted_outputs(state: RunState, setup: Setup, fit: UnseenFit, part: EvaluatedSet) -> Tensor:
    """The outputs [n, outputs] of unseen clients' models: the global part, and what they fitted of the rest.

    The part that clients keep begins as the initial model has it and takes the stated steps, each on all the fitting
    examples of the client, while the global part is frozen, running statistics included.
    """
    assert part.sizes is not None
    examples, staying = fitting_examples(setup.federation, fit, setup.config.seed), setup.parts.travelling.staying
    clients = [client for client in np.flatnonzero(part.sizes).tolist() if len(examples[client])]
    moves = torch.zeros(state.parameters.numel(), dtype=torch.bool, device=staying.device)
    moves[staying] = True
    terms = LocalTerms(phases=(Phase(moves[: setup.model.num_trainable], steps=fit.steps, stream=_OTHER_BATCHES),))
    models: dict[int, Tensor] = {}
    if clients:
        train = loop_trainer(*_work(setup, fit, examples), threads=threads_of(setup.config.orchestration.threads))
        deltas = train(state.parameters, clients, state.round, terms).deltas
        models = {
            client: torch.where(moves, state.parameters + delta, state.parameters)
            for client, delta in zip(clients, deltas, strict=True)
        }
    answer = partial(_answer, models, state.parameters)
    return Outputs(setup).of_each(answer, part.indices, part.sizes)


def _answer(models: dict[int, Tensor], otherwise: Tensor, client: int) -> Tensor:
    return models.get(client, otherwise)


def _work(setup: Setup, fit: UnseenFit, examples: list[np.ndarray]) -> LocalWork:
    config = setup.config
    local = config.local.model_copy(
        update={
            "epochs": None,
            "steps": fit.steps,
            "batch_size": None,
            "learning_rate": fit.learning_rate or config.local.learning_rate,
            "schedule": LocalTraining().schedule,
        }
    )
    return setup.worker.work._replace(clients=examples, local=local)
