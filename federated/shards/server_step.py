"""The server's step: what the algorithm makes of the model by what the server has heard."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from cachetools import cached
from torch import Tensor

from federated.algorithms import Heard, Tensors
from federated.algorithms.schedules import Schedule
from federated.run.clients.cohort import count_of, population_of
from federated.run.memory import ALGORITHM
from federated.run.setup import Setup
from federated.run.state import RunState

_SCHEDULES: WeakKeyDictionary[Setup, Schedule] = WeakKeyDictionary()
_WEIGHTS: WeakKeyDictionary[Setup, float] = WeakKeyDictionary()


def share_of(cohort: np.ndarray, setup: Setup) -> float:
    """The weight of the clients that are heard over that of all who can take part."""
    return count_of(cohort, setup) / _everybody(setup)


@cached(_WEIGHTS, key=lambda setup: setup)
def _everybody(setup: Setup) -> float:
    return count_of(population_of(setup).eligible, setup)


def server_step(setup: Setup, state: RunState, heard: Heard) -> tuple[Tensors, Tensor]:
    """(the algorithm's new memory, the new trainable parameters [T])."""
    before = state.parameters[: setup.model.num_trainable]
    memory, stepped = setup.parts.algorithm.update(state.server.get(ALGORITHM, {}), before, heard)
    return memory, _shortened(setup, state.round, before, stepped)


def _shortened(setup: Setup, done: int, before: Tensor, stepped: Tensor) -> Tensor:
    """The parameters [T] after the server's step, whose length is multiplied by the factor of its schedule."""
    factor = _schedule(setup)(done, setup.config.rounds)
    return stepped if factor == 1 else before + factor * (stepped - before)


@cached(_SCHEDULES, key=lambda setup: setup)
def _schedule(setup: Setup) -> Schedule:
    made: Schedule = setup.config.server_schedule.build()
    return made
