"""The time of the coalitions that a run trains after its own rounds, and the sentence that says how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from federated.coalitions.training import further_trainings, scored, site_measure
from federated.forecast.workload import num_evaluated, round_batches, trained_clients
from federated.machine.queueing import Stopwatch
from federated.run.setup import Setup

if TYPE_CHECKING:
    from federated.forecast.probe import Probe

_ROUNDS = (1, 1, 3)
"""Of the trials of some coalitions, of which the first warms up."""
_SECONDS, _FEWEST, _MOST = 1.0, 8, 64
"""Of the trials together, by the run's own round, and the coalitions in each; of fewer none is tried."""


def coalition_seconds(setup: Setup, probed: Probe) -> float:
    """Wall time of the coalitions that are asked for, 0 where none are: by a trial of some, trained as they will be.

    Where a round takes long they count as if they were trained one after another, which then makes little difference:
    in each, as many of a round's clients and batches take part as of all players are its members.
    """
    if setup.config.coalitions is None:
        return 0.0
    every, clients, batches = further_trainings(setup), trained_clients(setup), round_batches(setup)
    number = min(_MOST, int(_SECONDS / sum(_ROUNDS) / max(probed.seconds_of_round(clients, batches), 1e-9)))
    if every and number >= _FEWEST and setup.trunk is None and not probed.diverged:
        return _tried(setup, number)
    counts, players = num_evaluated(setup), len(setup.config.coalitions.names)
    a_score = probed.evaluation_seconds * counts.get("client", 0) / max(sum(counts.values()), 1)
    shares = [len(coalition) / players for coalition in every]
    return sum(
        setup.last_round * probed.seconds_of_round(share * clients, share * batches) + a_score
        for share in shares
    )


def _tried(setup: Setup, number: int) -> float:
    """The time of all, by that of so many of every size. What goes with a coalition is in all trials, what goes with a
    round is the difference of the last two."""
    every, measure = further_trainings(setup), site_measure(setup.scoring)
    step = -(-len(every) // number)
    some, times = dict([*every.items()][::step]), list[float]()
    for rounds in _ROUNDS:
        stopwatch = Stopwatch()
        for _ in scored(some, setup, rounds, measure):
            pass
        times.append(stopwatch.taken().alone)
    a_round = max(times[-1] - times[-2], 0.0) / (_ROUNDS[-1] - _ROUNDS[-2])
    return len(every) / len(some) * (times[-1] + (setup.last_round - _ROUNDS[-1]) * a_round)


def of_coalitions(setup: Setup) -> str:
    """How many coalitions are trained after each run; empty where none are."""
    if setup.config.coalitions is None:
        return ""
    sites = len(setup.config.coalitions.names)
    return (
        f"sites.value: {len(further_trainings(setup)):,} coalitions of {sites} sites are trained after each run of an "
        "arm, each for as many rounds as the run; small models train many of them at a time"
    )
