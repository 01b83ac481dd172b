"""Shadow federations: the same clients, of which each trains on half of its examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data_partitioners.partition import Slices, sliced
from federated.federation.federation import Federation
from federated.foundation.randomness import Purpose, generator

_HALVES = 0  # key of Purpose.LEAKAGE


def half_of(federation: Federation, seed: int, number: int) -> Federation:
    """The shadow federation of this number, from 0: each client trains on half of what it holds, its share included.

    Two in a row complement each other, so that of an even number every example is in exactly half. Nothing is held out
    but the central test set and the unseen clients; who is an unseen client stays so.
    """
    held = [
        np.concatenate([training, own])
        for training, own in zip(federation.clients, federation.own_held_out, strict=True)
    ]
    numbers = [generator(seed, Purpose.LEAKAGE, _HALVES, number // 2, at) for at in range(len(held))]
    halves = [_half(mine, number % 2 == 1, own) for mine, own in zip(held, numbers, strict=True)]
    nothing = Slices(np.empty(0, np.int64), np.zeros(len(held), np.int64))
    return replace(
        federation, clients=sliced(halves), own_held_out=nothing, own_validation=nothing, own_tuning=nothing
    )


def _half(held: np.ndarray, other: bool, numbers: np.random.Generator) -> np.ndarray:
    """One half, or the other, of which the first is the larger where they are not alike."""
    order, cut = numbers.permutation(held), -(-len(held) // 2)
    half: np.ndarray = np.sort(order[cut:] if other else order[:cut])
    return half


def trained_on(clients: Sequence[np.ndarray], indices: np.ndarray | Sequence[int]) -> np.ndarray:
    """Which of these examples are among those of some clients, bool [n]."""
    found: np.ndarray = np.isin(indices, np.concatenate([np.empty(0, np.int64), *clients]))
    return found
