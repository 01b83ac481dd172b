"""The release of a cohort's sum by the privacy mechanism, before the algorithm's step."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms.algorithm import Tensors
from federated.foundation.randomness import Purpose, generator
from federated.privacy import Gathered
from federated.run.clients.cohort import expected_clients
from federated.run.memory import PRIVACY
from federated.run.setup import Setup
from federated.run.state import RunState


def released(
    setup: Setup, state: RunState, update: Tensor, sent: Tensors, num_heard: int
) -> tuple[Tensors, Tensor]:
    """(the mechanism's new memory, the update [T] that the algorithm hears).

    update: [T], the aggregate, of which the mechanism sees what travels. sent: the mean of all that clients sent
    beside their updates.
    """
    privacy, moves, memory = setup.parts.privacy, setup.parts.travelling, state.server.get(PRIVACY, {})
    if privacy.release is None:
        return memory, update
    expected = expected_clients(setup) * (1 - setup.parts.participation.losses)
    told = {name: sent[name] for name in privacy.tells}
    gathered = Gathered(moves.of(update[None])[0], told, num_heard, expected)
    numbers = generator(setup.config.seed, Purpose.NOISE, state.round)
    after, moved = privacy.release(memory, gathered, numbers)
    return after, moves.back(moved[None], update)[0]
