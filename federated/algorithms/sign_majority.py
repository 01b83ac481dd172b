"""Majority vote: every coordinate moves by one step, in the direction most clients voted for."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Heard, ServerState
from federated.foundation.scales import check_scale


def sign_majority(server_learning_rate: float) -> Algorithm:
    """Add server_learning_rate x the sign of the sum of votes; a coordinate on which votes are even stays.

    Bernstein et al. 2018, "signSGD: compressed optimisation for non-convex problems", algorithm 3 (majority vote). The
    vote is an aggregation, so it is an algorithm; the votes come from `compression.uplink: sign(scale=one)`, with
    which alone it works. Differs: a vote is on a client's whole update, not on one gradient, and counts by
    `cohort.weighting` (uniform in the paper).
    """
    check_scale("server_learning_rate", server_learning_rate)

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        return state, parameters + server_learning_rate * heard.update.sign()

    return Algorithm(init=lambda parameters: {}, update=update, votes=True)
