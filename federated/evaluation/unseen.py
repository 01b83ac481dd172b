"""Clients that never take part, where a part of the model does not travel: they fit it to a few of their examples."""

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
from federated.evaluation.sets import EvaluatedSet, fitting_examples
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_OTHER_BATCHES = 2


def fitted_outputs(state: RunState, setup: Setup, fit: UnseenFit, part: EvaluatedSet) -> Tensor:
    """The outputs [n, outputs] of unseen clients' models: the global part, and what they fitted of the rest.

    What does not travel begins as the initial model has it and takes the stated steps, each on all the fitting examples
    of the client, while the global part is frozen, running statistics included.
    """
    assert part.sizes is not None
    examples, unsent = (
        fitting_examples(setup.federation, fit, setup.config.seed),
        setup.parts.travelling.unsent,
    )
    clients = [client for client in np.flatnonzero(part.sizes).tolist() if len(examples[client])]
    moves = torch.zeros(state.parameters.numel(), dtype=torch.bool, device=unsent.device)
    moves[unsent] = True
    terms = LocalTerms(
        phases=(Phase(moves[: setup.model.num_trainable], steps=fit.steps, stream=_OTHER_BATCHES),)
    )
    models: dict[int, Tensor] = {}
    if clients:
        train = loop_trainer(
            *_work(setup, fit, examples), threads=threads_of(setup.config.orchestration.threads)
        )
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
