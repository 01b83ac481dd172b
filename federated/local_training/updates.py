"""What local training returns, and the interfaces of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor


class Updates(NamedTuple):
    """The results of a cohort's (or a shard's) local training, one row a client.

    deltas: float32 [C, P], the client's parameters minus those it received.
    num_examples: int64 [C], training examples each client holds.
    client_ids: int64 [C].
    losses: float32 [C], mean loss over the client's local examples as they were trained on.
    """

    deltas: Tensor
    num_examples: Tensor
    client_ids: Tensor
    losses: Tensor


LocalTrainer = Callable[[Tensor, Sequence[int], int], Updates]
"""(received parameters [P], clients, rounds done before this one) -> Updates. Pure: same in, same out."""


class Slots(NamedTuple):
    """Where the results of some clients go: the rows, int64 [c], of deltas [C, P] and losses [C]."""

    deltas: Tensor
    losses: Tensor
    rows: Tensor


PartTrainer = Callable[[Tensor, Sequence[int], int, Slots], None]
"""(received parameters [P], clients, rounds done, their slots). One at a time: it may hold scratch space."""
