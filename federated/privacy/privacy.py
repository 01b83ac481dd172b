"""The interface of a privacy mechanism: a bound at the clients, a release at the server, and what it guarantees."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from federated.participation import SamplingLaw

Memory = dict[str, Tensor]
"""What the server remembers from round to round. Empty for most."""


class Bounded(NamedTuple):
    """The updates of some clients, bounded.

    updates: [c, P]. changed: bool [c]. told: name -> [c, n], what each client tells the server besides.
    """

    updates: Tensor
    changed: Tensor
    told: Memory = {}  # noqa: RUF012 - never written to


class Gathered(NamedTuple):
    """The sum of a round, from which the server releases an update.

    update: [P], what the aggregator made of the decoded updates, by default their weighted mean.
    told: name -> [n], the mean by the same weights. clients: how many were heard; expected: how many are in the mean.
    """

    update: Tensor
    told: Memory
    clients: int
    expected: float


class Privacy(NamedTuple):
    """A mechanism, pure. P: the trainable parameters that travel.

    bound: (memory that clients hear, updates [c, P]) -> Bounded, at each client before encoding; None: updates leave
        as they are.
    release: (memory, Gathered, the round's random numbers) -> (new memory, update [P]), at the server after the sum and
        before the algorithm's step; None: the sum is used as it is.
    init: P -> the server's memory before the first round.
    hears: names in the memory that clients are sent beside the model, as 32-bit floats.
    tells: names of what `bound` tells the server.
    event: (memory, law of the cohorts) -> one round, in the words of an accountant; None: it guarantees nothing.
    """

    bound: Callable[[Memory, Tensor], Bounded] | None = None
    release: Callable[[Memory, Gathered, np.random.Generator], tuple[Memory, Tensor]] | None = None
    init: Callable[[int], Memory] = lambda num_parameters: {}
    hears: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    event: Callable[[Memory, SamplingLaw], object] | None = None
