"""The interface of a privacy mechanism: a bound at the clients, a release at the server, and what it guarantees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from federated.compressors import Compressor
from federated.participation import SamplingLaw
from federated.privacy.per_example import PerExample

if TYPE_CHECKING:
    from dp_accounting import DpEvent  # the import takes seconds, and most runs guarantee nothing

    Event: TypeAlias = DpEvent | tuple[DpEvent, ...]

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

    update: [P], what the aggregator made of the decoded updates, by default their weighted mean; zeros where nobody was
    heard. told: name -> [n], the mean by the same weights, and then zeros too. clients: how many were heard; expected:
    how many are in the mean of all rounds, which depends on no data. rounds: of the whole run. scale: of the noise,
    below 1 where a study extrapolates: the noise on the mean is that of a cohort of `expected / scale`.
    """

    update: Tensor
    told: Memory
    clients: int
    expected: float
    rounds: int = 1
    scale: float = 1.0


class LocalSteps(NamedTuple):
    """The local steps of each of N clients in the rounds so far, for a guarantee of single examples.

    shares: float64 [N], the probability with which each of its examples is in a step's batch. steps: int64 [N], in all
    rounds in which it was heard, at most. turns: int64 [N], the number of these rounds; it depends on no data.
    """

    shares: np.ndarray
    steps: np.ndarray
    turns: np.ndarray

    def by_epsilon(self) -> np.ndarray:
        """Positions of the clients, int64 [N], from the smallest epsilon on, nearly: by share x root of steps."""
        return np.argsort(self.shares * np.sqrt(self.steps), kind="stable")

    def of(self, at: int) -> LocalSteps:
        """The steps of one of them."""
        return LocalSteps(*(column[[at]] for column in self))


class Summed(NamedTuple):
    """The cohorts of which the server reads a sum alone. clients: in each. least: the fewest of them whose updates are
    in a sum that is opened. size: numbers in an update."""

    clients: int
    least: int
    size: int


class InSum(NamedTuple):
    """What clients make of updates for a sum. codec: its payloads add up modulo 2^bits. size: integers in each."""

    codec: Compressor
    bits: int
    size: int


class Participated(NamedTuple):
    """All that an accountant may assume of who took part in the rounds so far; it depends on no draw.

    law: of the cohorts. share: under POISSON a client's probability of each round. clients: those with examples, N,
    and the canaries, of which there are `canaries`. cohort: the mean number of clients that are heard in a round.
    rounds: that are done. most: the rounds of them in which one client can have taken part, at most. apart: the fewest
    rounds from one turn of a client to its next one.
    examples: of training at each client of the run, int64. to_come: the rounds of the run that are not done yet.
    local_steps: of the clients, where the mechanism is in these.
    summed: the cohorts, where their sum is all that the server reads.
    """

    law: SamplingLaw
    share: float
    clients: int
    cohort: float
    rounds: int
    most: int
    apart: int
    examples: np.ndarray
    to_come: int = 0
    local_steps: LocalSteps | None = None
    summed: Summed | None = None
    canaries: int = 0


class Privacy(NamedTuple):
    """A mechanism, pure. P: the trainable parameters that travel.

    bound: (memory that clients hear, updates [c, P], random numbers of each client) -> Bounded, at each client before
        encoding; None: updates leave as they are. A client's numbers depend on its round and itself alone.
    release: (memory, Gathered, the round's random numbers) -> (new memory, update [P]), at the server after the sum and
        before the algorithm's step, in every round, also where no client was heard; None: the sum is used as it is.
    init: P -> the server's memory before the first round.
    hears: names in the memory that clients are sent beside the model, as 32-bit floats.
    tells: names of what `bound` tells the server.
    guarantee: Participated -> all rounds so far together as one event of dp_accounting, imported when it is called, or
        several, of different clients, of which the worst counts; None: it guarantees nothing. It is asked before the
        run too, so it knows no more than the factory's arguments. Raises ValueError where it does not hold for such
        cohorts.
    unit: of whose data the guarantee is: all that a client has, one example of it, or what it sends ("update"), towards
        the server too, which sees who sends.
    bound_again: (memory that clients hear, decoded updates [c, P]) -> the same, at the server before the sum, as codecs
        can make updates longer; None: what was decoded is summed.
    noise_ratio: (Participated, P) -> the expected norm of the noise in the mean update over the clipping norm, or
        in the mean gradient of the median client where the mechanism is in local steps; None:
        there is no such noise.
    extrapolates: whether `release` scales its noise by `Gathered.scale`.
    in_sum: (Summed, numbers that all parties may know) -> InSum, for a transport in which the server reads a sum alone:
        clients add their noise as they encode, with numbers as `bound` has them; None: it works on any sum.
    separates: whether the guarantee rests on how far apart the turns of a client are, `Participated.apart`.
    amplifies: whether the guarantee of POISSON cohorts rests on their staying unknown.
    per_example: differentially private steps of the clients, which every engine takes or refuses; None: plain ones.
    """

    bound: Callable[[Memory, Tensor, Sequence[np.random.Generator]], Bounded] | None = None
    release: Callable[[Memory, Gathered, np.random.Generator], tuple[Memory, Tensor]] | None = None
    init: Callable[[int], Memory] = lambda num_parameters: {}
    hears: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    guarantee: Callable[[Participated], Event] | None = None
    unit: Literal["client", "example", "update"] = "client"
    bound_again: Callable[[Memory, Tensor], Tensor] | None = None
    noise_ratio: Callable[[Participated, int], float] | None = None
    extrapolates: bool = False
    in_sum: Callable[[Summed, np.random.Generator], InSum] | None = None
    amplifies: bool = False
    separates: bool = False
    per_example: PerExample | None = None
