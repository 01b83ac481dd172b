"""The release of a round: what the privacy mechanism makes of the cohort's sum at the server."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms import Tensors
from federated.foundation.randomness import NoiseSource
from federated.privacy import Gathered, Privacy
from federated.run.clients.cohort import expected_updates, participated
from federated.run.memory import PRIVACY
from federated.run.setup import Setup
from federated.run.state import RunState


def released(
    setup: Setup, state: RunState, update: Tensor, sent: Tensors, num_heard: int
) -> tuple[Tensors, Tensor]:
    """(the privacy mechanism's new memory, the update [T] that the algorithm hears), of which it sees what travels."""
    privacy, moves, memory = setup.parts.privacy, setup.parts.travelling, state.server.get(PRIVACY, {})
    if privacy.release is None:
        return memory, update
    moving = moves.of(update[None])
    told = (
        {name: sent[name] for name in privacy.tells}
        if num_heard
        else _told_by_nobody(privacy, memory, moving)
    )
    numbers = NoiseSource(setup.config.seed, setup.config.privacy.secure).of_server(state.round)
    expected, larger = expected_updates(setup), setup.config.privacy.extrapolate
    scale = 1.0 if larger is None else expected / participated(setup, 1).cohort
    gathered = Gathered(moving[0], told, num_heard, expected, setup.config.rounds, scale)
    after, moved = privacy.release(memory, gathered, numbers)
    return after, moves.back(moved[None], update)[0]


def _told_by_nobody(privacy: Privacy, memory: Tensors, update: Tensor) -> Tensors:
    """What clients tell the mechanism, of a round without any: zeros."""
    if privacy.bound is None:
        return {}
    told = privacy.bound({name: memory[name] for name in privacy.hears}, update[:0], ()).told
    return {name: rows.sum(dim=0).to(update) for name, rows in told.items()}
