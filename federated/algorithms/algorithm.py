"""What a federated algorithm is: how the server turns the cohort's mean update into new parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

ServerState = dict[str, Tensor]
"""What the server remembers from round to round: name -> tensor. Empty for FedAvg."""


class Algorithm(NamedTuple):
    """The server half of a federated algorithm, pure.

    init: parameters [P] -> the server's state before the first round.
    update: (state, parameters [P], weighted mean update [P]) -> (new state, new parameters [P]).
    votes: the updates must be votes, which only `sign(scale=one)` sends.
    """

    init: Callable[[Tensor], ServerState]
    update: Callable[[ServerState, Tensor, Tensor], tuple[ServerState, Tensor]]
    votes: bool = False
