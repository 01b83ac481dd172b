"""The terms of a round that all parties know, and the random graph that says who shares masks with whom."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from federated.transports.transport import SumTooLarge, TooFewLeft

LEAST_CLIENTS = 3
"""Of two clients each reads the other's update from the sum."""
LARGEST_COMPLETE = 50
"""Cohorts up to so many clients share with everybody."""
_COLLUDE, _DROP_OUT = 0.2, 0.1
LARGEST_CHANCE = 2.0**-20
"""Of each failure of a random graph."""
_MOST_BITS = 32
_LABEL = b"fedstudy secure aggregation 1"
_PACKED = struct.Struct("<IIIIIII")


class Terms(NamedTuple):
    """done: rounds before this one. clients: in the cohort. neighbours: with whom each shares masks and secrets.
    threshold: shares that rebuild a secret, of one of each neighbour and the client's own. survivors: the fewest
    clients whose updates are in a sum that is opened. bits: the modulus of the sum is 2^bits. size: of the vector."""

    done: int
    clients: int
    neighbours: int
    threshold: int
    survivors: int
    bits: int
    size: int

    @property
    def context(self) -> bytes:
        """What every key and every signature of the round is bound to."""
        return _LABEL + _PACKED.pack(*self)

    def check(self) -> None:
        """Raise ValueError where the terms protect nobody, which a client checks before it takes part."""
        if self.clients < LEAST_CLIENTS:
            raise TooFewLeft(
                f"a cohort of {self.clients} hides no update; {LEAST_CLIENTS} clients are the fewest"
            )
        if not 0 < self.neighbours < self.clients:
            raise ValueError(f"{self.neighbours} neighbours among {self.clients} clients")
        if not max(LEAST_CLIENTS, self.clients // 2 + 1) <= self.survivors <= self.clients:
            raise ValueError(
                f"a sum of {self.survivors} of {self.clients} clients may be opened; it must be of at least "
                f"{LEAST_CLIENTS} and of more than half"
            )
        if not (self.neighbours + 1) / 2 < self.threshold <= self.neighbours + 1:
            raise ValueError(
                f"{self.threshold} of {self.neighbours + 1} shares must be more than half, or two groups of clients "
                "could be told different things"
            )


def bits_for(updates: int, bound: int) -> int:
    """Bits of a modulus above the 2 n bound + 1 values of a sum of n integers within +-bound.

    Raises SumTooLarge where that does not fit into 32 bits.
    """
    bits = (2 * updates * bound).bit_length()
    if bits > _MOST_BITS:
        fit = (((1 << _MOST_BITS) - 1) // (2 * updates) + 1).bit_length()
        raise SumTooLarge(
            f"the sum of {updates:,} updates (of clients, or of examples where clients count by these) needs {bits} "
            f"bits, and {_MOST_BITS} are the most; state fewer bits a number, at most bits={fit}",
            fit,
        )
    return bits


def terms_of(done: int, clients: int, share: float, neighbours: int | None, bits: int, size: int) -> Terms:
    """The terms for a cohort, of which and of each neighbourhood more than `share` must stay.

    Raises ValueError where the cohort is too small, also for the neighbours that are stated.
    """
    degree = degree_for(clients, share, neighbours)
    terms = Terms(
        done, clients, degree, threshold_for(degree, share), survivors_for(clients, share), bits, size
    )
    terms.check()
    return terms


def degree_for(clients: int, share: float, neighbours: int | None) -> int:
    """How many neighbours each client of a cohort has, where so many are stated, or none. Raises ValueError."""
    if neighbours is None:
        return clients - 1 if clients <= LARGEST_COMPLETE else neighbours_for(clients, share)
    if clients >= LEAST_CLIENTS and neighbours >= clients:
        raise ValueError(
            f"neighbours must be at most {clients - 1} in a cohort of {clients} clients, got {neighbours}"
        )
    return min(neighbours + neighbours * clients % 2, clients - 1)  # no graph has an odd number of odd ends


def doubts_of(clients: int, share: float, neighbours: int | None) -> str:
    """A warning where so few neighbours are stated that a failure of `failures` is likelier than 2^-20, or ""."""
    if neighbours is None or clients < LEAST_CLIENTS or neighbours >= clients - 1:
        return ""
    degree = degree_for(clients, share, neighbours)
    found = failures(clients, degree, share)
    if max(found) <= LARGEST_CHANCE:
        return ""
    return (
        f"transport: neighbours={neighbours} in a cohort of {clients:,} clients: where one client in five is on the "
        f"server's side, some client's update is open to it with a chance of up to {found.opened:.2g} in each round; "
        f"where one in ten drops out, the sum stays closed with one of up to {found.lacking:.2g}; either is at most "
        f"2^-20 with {neighbours_for(clients, share)}"
    )


def survivors_for(clients: int, share: float) -> int:
    """The fewest clients of a cohort whose updates are in a sum that is opened: more than this share, and three."""
    return max(LEAST_CLIENTS, threshold_for(clients - 1, share))


def threshold_for(neighbours: int, share: float) -> int:
    """The smallest number that is more than this share of the shares of a client's secret."""
    return math.floor(share * (neighbours + 1)) + 1


@lru_cache
def neighbours_for(clients: int, share: float) -> int:
    """The fewest neighbours, an even number, with which two things have a chance below 2^-20 in a random graph.

    With one client in five on the server's side, any client has as many of those among its neighbours as rebuild its
    secrets; and with one in ten gone, any has too few left (Bell et al. 2020, "Secure Single-Server Aggregation with
    (Poly)Logarithmic Overhead", section 3, whose hypergeometric tails these are). All others, where that needs them.
    """
    degrees = range(2, clients - 1, 2)
    return next(
        (degree for degree in degrees if max(failures(clients, degree, share)) <= LARGEST_CHANCE), clients - 1
    )


class Failures(NamedTuple):
    """The chances, at most, that in a round some client's update is open, and that some client's sum stays closed."""

    opened: float
    lacking: float


def failures(clients: int, degree: int, share: float) -> Failures:
    """The chances in a random graph of this degree, with the clients that collude and drop out of `neighbours_for`."""
    colluding, gone = math.ceil(_COLLUDE * clients), math.ceil(_DROP_OUT * clients)
    needed = threshold_for(degree, share)
    opened = _at_least(needed, clients - 1, colluding, degree)
    lacking = 1 - _at_least(needed, clients - 1, clients - 1 - gone, degree)
    return Failures(min(1.0, clients * opened), min(1.0, clients * lacking))


def _at_least(least: int, population: int, marked: int, drawn: int) -> float:
    """The chance of at least so many marked ones among those drawn without replacement."""
    ways = sum(
        math.comb(marked, found) * math.comb(population - marked, drawn - found)
        for found in range(least, min(marked, drawn) + 1)
    )
    return ways / math.comb(population, drawn)


def neighbours_of(
    cohort: Sequence[int], degree: int, numbers: np.random.Generator
) -> dict[int, tuple[int, ...]]:
    """The neighbours of each client, rising: all others, or its nearest on a circle in random order.

    degree: even, or any where the cohort is even. Harary's graph on the circle, which falls apart only where `degree`
    clients are taken out: each has half of its neighbours on either side, and for an odd degree its opposite too.
    """
    if degree >= len(cohort) - 1:
        return {client: tuple(sorted(set(cohort) - {client})) for client in cohort}
    circle = [cohort[at] for at in numbers.permutation(len(cohort)).tolist()]
    steps = [step for half in range(1, degree // 2 + 1) for step in (half, -half)]
    if degree % 2:
        steps.append(len(cohort) // 2)
    return {
        client: tuple(sorted(circle[(at + step) % len(circle)] for step in steps))
        for at, client in enumerate(circle)
    }
