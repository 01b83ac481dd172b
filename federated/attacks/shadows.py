"""Shadow federations: whole runs like the attacked one, whose clients train on halves of their examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from federated.foundation.errors import BadInput, Diverged
from federated.rounds import train_rounds
from federated.run.clients.cohort import heard_within
from federated.run.preparing.attacks.halves import trained_on
from federated.run.setup import initial_state, prepare_shadow
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup


class Shadow(NamedTuple):
    """A shadow federation after its last round.

    held: which of the examples asked about its clients train on, bool [n]. trained: which of these the model was
    trained on, as their clients were heard, bool [n].
    """

    setup: Setup
    state: RunState
    held: np.ndarray
    trained: np.ndarray


def shadows(
    setup: Setup,
    rounds: int,
    indices: np.ndarray,
    count: int,
    begun: Callable[[int], None] = lambda number: None,
) -> Iterator[Shadow]:
    """Train so many shadows of a run, one after another, for as many rounds as it took, and forget each when the next
    is asked for.

    Each has a seed of its own, as an attacker has no part in the run's random numbers. begun: called with the number of
    each, from 0. Raises BadInput and Diverged, naming the shadow.
    """
    for number in range(count):
        begun(number)
        try:
            own = prepare_shadow(setup, number)
            state = train_rounds(initial_state(own), own, rounds)
        except (BadInput, Diverged) as error:
            raise type(error)(
                f"leakage.membership: shadow federation {number + 1} of {count}: {error}"
            ) from error
        held = trained_on(own.federation.clients, indices)
        clients = [own.federation.clients[client] for client in heard_within(own, rounds)]
        yield Shadow(own, state, held, trained_on(clients, indices))
