"""Shadow federations: whole runs like the attacked one, whose clients train on halves of their examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from federated.config.evaluation import Evaluation
from federated.config.run import RunConfig
from federated.foundation.errors import Diverged
from federated.foundation.randomness import Purpose, generator
from federated.rounds import train_rounds
from federated.run.preparing.attacks.halves import half_of, trained_on
from federated.run.setup import initial_state, prepare_on
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_SEEDS = 2  # key of Purpose.LEAKAGE
_LARGEST_SEED = 2**31


class Shadow(NamedTuple):
    """A shadow federation after its last round. trained: which of the examples asked about it trained on, bool [n]."""

    setup: Setup
    state: RunState
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
    each, from 0. Raises Diverged.
    """
    for number in range(count):
        begun(number)
        federation = half_of(setup.federation, setup.config.seed, number)
        own = prepare_on(shadow_config(setup.config, number), federation)
        try:
            state = train_rounds(initial_state(own), own, rounds)
        except Diverged as error:
            raise Diverged(
                f"leakage.membership: shadow federation {number + 1} of {count}: {error}"
            ) from error
        yield Shadow(own, state, trained_on(federation, indices))


def shadow_config(config: RunConfig, number: int) -> RunConfig:
    """The config of a shadow: the run's own, with another seed, no end but the run's, and nothing measured beside."""
    seed = int(generator(config.seed, Purpose.LEAKAGE, _SEEDS, number).integers(_LARGEST_SEED))
    compression = config.compression.model_copy(update={"dump": None, "quality": False})
    evaluation = Evaluation(
        batch_size=config.evaluation.batch_size, metric=config.evaluation.metric, drift=False
    )
    return config.model_copy(
        update={
            "seed": seed,
            "stop": None,
            "leakage": None,
            "compression": compression,
            "evaluation": evaluation,
        }
    )
