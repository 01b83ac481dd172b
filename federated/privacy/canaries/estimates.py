"""Measures of epsilon by canaries, in the final model and in all models on the way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from federated.privacy.canaries.cosine_law import log_tail, scores
from federated.privacy.canaries.lower_bound import lower_bound
from federated.privacy.canaries.two_normals import epsilon_apart

_CONFIDENCE_WITH_OTHERS = 0.99


class Empirical(NamedTuple):
    """Epsilons measured by canaries, at one delta.

    fitted, known: estimates, of normal laws fitted to the statistics, with the canaries' own deviation or with that of
    canaries that took no part. lower: a bound, which epsilon is not below, with 95 % confidence or more.
    """

    fitted: float
    known: float
    lower: float


def of_final_model(cosines: np.ndarray, dimension: int, delta: float) -> Empirical:
    """For one who sees the initial and the final model alone. cosines: of each canary with the way between them.

    Andrew et al. 2023, "One-shot Empirical Privacy Estimation for Federated Learning", algorithm 1: the law of canaries
    that took no part is known. `known` takes the deviation from it too, as a mechanism with much noise has it, and so
    does not take the error of a fitted one for a leak: without it the estimate of a small epsilon is too high.
    """
    found = scores(cosines, dimension)
    shift, deviation = float(found.mean()), float(found.std(ddof=1))
    return Empirical(
        epsilon_apart(shift, deviation, delta),
        epsilon_apart(shift, 1.0, delta),
        lower_bound(cosines, lambda at: log_tail(at, dimension), delta),
    )


def of_iterates(seen: np.ndarray, unseen: np.ndarray, dimension: int, rounds: int, delta: float) -> Empirical:
    """For one who sees the model after every round. seen, unseen: each canary's largest cosine with a round's step.

    The same paper, section 4: the law of the largest is fitted to canaries that never took part. The bound takes no
    fit: the chance of so large a cosine in some round is at most that in one, times the rounds.
    """
    took_part, others = scores(seen, dimension), scores(unseen, dimension)
    spread = float(others.std(ddof=1))
    shift = float(took_part.mean() - others.mean()) / spread
    deviation = float(took_part.std(ddof=1)) / spread
    return Empirical(
        epsilon_apart(shift, deviation, delta),
        epsilon_apart(shift, 1.0, delta),
        lower_bound(seen, lambda at: log_tail(at, dimension) + np.log(rounds), delta),
    )


def with_others_known(
    whole: np.ndarray, largest: np.ndarray, dimension: int, rounds: int, delta: float
) -> Empirical:
    """For one who sees the release of every round and knows what all others sent, as the guarantee assumes.

    whole, largest: each canary's cosine with the sum over rounds of what others do not explain, and its largest with
    that of one round, both of the given dimension. With much noise a canary's turns add up in the sum; with little, one
    round alone shows most. The bound is the larger of both, with 99 % confidence, of whose error each has half: this
    observer is nearly as strong as the guarantee's, so that bounds at 95 % would now and then be above promises that
    are kept. The estimates are of the sum.
    """
    estimates, half = of_final_model(whole, dimension, delta), (1 + _CONFIDENCE_WITH_OTHERS) / 2
    in_sum = lower_bound(whole, lambda at: log_tail(at, dimension), delta, half)
    in_a_round = lower_bound(largest, lambda at: log_tail(at, dimension) + np.log(rounds), delta, half)
    return estimates._replace(lower=max(in_sum, in_a_round))
