"""The time of the coalitions that a run trains after its own rounds, and the sentence that says how many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from federated.coalitions.game import Coalition, coalitions_of
from federated.forecast.workload import num_evaluated, round_batches, trained_clients
from federated.run.setup import Setup

if TYPE_CHECKING:
    from federated.forecast.probe import Probe


def coalition_seconds(setup: Setup, probed: Probe) -> float:
    """Wall time of the coalitions that are asked for, 0 where none are: as if they were trained one after another.

    In each, as many of a round's clients and batches take part as of all players are its members.
    """
    asked = setup.config.coalitions
    if asked is None:
        return 0.0
    rounds, players, counts = setup.last_round, len(asked.names), num_evaluated(setup)
    a_score = probed.evaluation_seconds * counts.get("client", 0) / max(sum(counts.values()), 1)
    shares = [len(coalition) / players for coalition in _trained(setup)]
    clients, batches = trained_clients(setup), round_batches(setup)
    return sum(
        rounds * probed.seconds_of_round(share * clients, share * batches) + a_score for share in shares
    )


def of_coalitions(setup: Setup) -> str:
    """How many coalitions are trained after each run; empty where none are."""
    if setup.config.coalitions is None:
        return ""
    sites = len(setup.config.coalitions.names)
    return (
        f"sites.value: {len(_trained(setup)):,} coalitions of {sites} sites are trained after each run of an arm, each "
        "for as many rounds as the run; small models train many of them at a time, and the forecast counts them one "
        "after another"
    )


def _trained(setup: Setup) -> list[Coalition]:
    asked = setup.config.coalitions
    assert asked is not None
    every = coalitions_of(len(asked.names), asked.permutations, setup.config.seed)
    others = len(setup.federation.names) > len(asked.names)
    return [each for each in every if len(each) < len(asked.names) and (each or others)]
