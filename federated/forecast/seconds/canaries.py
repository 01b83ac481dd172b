"""The time that canaries add to a round: their updates, and how far what is released points along each of them."""

from __future__ import annotations

import torch

from federated.machine.queueing import Stopwatch
from federated.privacy.canaries import alignments, long_updates, without_others
from federated.run.clients.cohort import expected_clients, expected_updates
from federated.run.setup import Setup


def canary_seconds(setup: Setup, client_seconds: float) -> float:
    """Seconds of a round, measured; 0 without canaries.

    client_seconds: all but training that goes with a client that is heard, and with a canary as well. Directions that
    are kept in memory are drawn in the first round alone, which is not counted; others in every round.
    """
    count = setup.config.privacy.canaries
    if not count:
        return 0.0
    seed, size = setup.config.seed, setup.parts.travelling.num_moving
    heard = expected_updates(setup) - expected_clients(setup) * (1 - setup.parts.participation.losses)
    sent = list(range(min(count, max(1, round(heard)))))  # in a fixed cohort there may be less than one
    step = torch.linspace(-1, 1, size)
    seconds = 0.0
    for _ in range(2):  # the second finds what the first has kept
        stopwatch = Stopwatch()
        long_updates(seed, sent, size)
        alignments(seed, 2 * count, step)
        without_others(seed, count, step)
        seconds = stopwatch.taken().alone
    return seconds + heard * client_seconds
