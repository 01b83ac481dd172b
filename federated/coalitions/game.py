"""The game of sites: which coalitions have to be trained, and what each site is worth by their scores.

A coalition is a frozen set of players, numbered from 0. Shapley 1953; by permutations as Castro et al. 2009: in each
order every player joins those before it, and what it adds, on average over orders, is its value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federated.foundation.randomness import Purpose, generator

Coalition = frozenset[int]
Scores = Mapping[Coalition, np.ndarray]
"""Coalition -> its score, float64 of any shape; each number is a game of its own."""


class Values(NamedTuple):
    """values: of each player, float64 [players, ...]. errors: of the sampling, one standard error; None where exact."""

    values: np.ndarray
    errors: np.ndarray | None


def coalitions_of(players: int, permutations: int | None, seed: int) -> list[Coalition]:
    """Every coalition that the values need, the empty one and that of all players included; small ones first."""
    if permutations is None:
        every = (itertools.combinations(range(players), size) for size in range(players + 1))
        return [frozenset(members) for of_size in every for members in of_size]
    found = {
        frozenset(order[:size])
        for order in orders(players, permutations, seed)
        for size in range(players + 1)
    }
    return sorted(found, key=lambda members: (len(members), sorted(members)))


def orders(players: int, permutations: int, seed: int) -> list[tuple[int, ...]]:
    """The orders that a seed draws, each with its own number: with more of them the first stay."""
    return [
        tuple(generator(seed, Purpose.COALITIONS, at).permutation(players).tolist())
        for at in range(permutations)
    ]


def shapley(scores: Scores, players: int) -> np.ndarray:
    """The exact Shapley values, float64 [players, ...], of the scores of all coalitions."""
    ways = [math.factorial(size) * math.factorial(players - size - 1) for size in range(players)]
    values = np.zeros((players, *np.shape(next(iter(scores.values())))))
    for coalition, score in scores.items():
        for player in range(players):
            size = len(coalition)
            weight = ways[size - 1] if player in coalition else -ways[size]
            values[player] += weight / math.factorial(players) * score
    return values


def sampled_shapley(scores: Scores, drawn: Sequence[Sequence[int]]) -> Values:
    """Shapley values by these orders of the players, with the standard error of each, NaN of a single order."""
    added = np.array([_added(scores, order) for order in drawn])
    spread = added.std(axis=0, ddof=1) if len(drawn) > 1 else np.full(added.shape[1:], np.nan)
    return Values(added.mean(axis=0), spread / math.sqrt(len(drawn)))


def _added(scores: Scores, order: Sequence[int]) -> np.ndarray:
    """What each player adds to those before it, float64 [players, ...]."""
    steps = np.array([scores[frozenset(order[:size])] for size in range(len(order) + 1)])
    added = np.empty_like(steps[1:])
    added[np.array(order)] = np.diff(steps, axis=0)
    return added
