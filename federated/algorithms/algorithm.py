"""What a federated algorithm is: what its clients add to local SGD, and what its server makes of their updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms

Tensors = dict[str, Tensor]
"""Name -> tensor."""
Rows = dict[str, Tensor]
"""Name -> [c, ...], a row for each client of a shard."""
ServerState = Tensors
"""What the server remembers from round to round: name -> tensor. Empty for FedAvg."""


class Algorithm(NamedTuple):
    """A federated algorithm, pure.

    init: parameters [P] -> the server's state before the first round.
    update: (state, parameters [P], weighted mean update [P]) -> (new state, new parameters [P]).
    terms: (state, clients) -> what these clients add to plain local SGD in the next round.
    votes: the updates must be votes, which only `sign(scale=one)` sends.
    P: trainable parameters.
    """

    init: Callable[[Tensor], ServerState]
    update: Callable[[ServerState, Tensor, Tensor], tuple[ServerState, Tensor]]
    terms: Callable[[ServerState, Sequence[int]], LocalTerms] = lambda state, clients: NO_TERMS
    votes: bool = False
