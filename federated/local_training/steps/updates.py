"""The results of local training, and the interfaces of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.algorithm import Start
from federated.algorithms.local_terms import NO_TERMS, LocalTerms


class Updates(NamedTuple):
    """The results of a cohort's (or a shard's) local training, one row a client.

    deltas: float32 [C, P], the client's parameters minus those it received.
    num_examples: int64 [C], training examples each client holds.
    client_ids: int64 [C].
    losses: float32 [C], mean loss over the client's local examples as they were trained on.
    start: what clients computed before their first step, where the algorithm asks for it.
    second: float32 [C, T], how far the models of a second training moved, where the algorithm asks for one.
    kept: name -> [C, ...], what clients remember after steps of the algorithm's own, where it has some.
    clusters: int64 [C], the cluster of the model that each received, where the server has several.
    zeroed: bool [C], whose update was not finite and counts as zeros; None where that would end the run.
    bounded: int64 [C, 2], how many gradients of single examples were longer than their bound, and how many there were,
        in private steps; None where steps are plain.
    """

    deltas: Tensor
    num_examples: Tensor
    client_ids: Tensor
    losses: Tensor
    start: Start | None = None
    second: Tensor | None = None
    kept: dict[str, Tensor] | None = None
    clusters: np.ndarray | None = None
    zeroed: Tensor | None = None
    bounded: Tensor | None = None


class LocalTrainer(Protocol):
    """An engine. Pure: same in, same out."""

    def __call__(
        self, received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS, /
    ) -> Updates:
        """received: parameters [P] of all, or [C, P] with a row for each client; done: rounds before this one;
        terms: of the cohort's clients, in its order.
        """


def received_by(received: Tensor, positions: Sequence[int] | np.ndarray) -> Tensor:
    """The part received by some of the clients: the same [P] for all, or their rows of [C, P]."""
    if received.dim() == 1:
        return received
    return received[torch.as_tensor(np.asarray(positions), device=received.device)]


class Slots(NamedTuple):
    """The places for the results of some clients: the rows, int64 [c], of deltas [C, P], losses [C], kept [C, ...].

    rows and losses: on the CPU, whatever the device of the others, so that to look at them waits for nothing.

    bounded: int64 [C, 2], as in `Updates`, where steps are private.
    """

    deltas: Tensor
    losses: Tensor
    rows: Tensor
    kept: dict[str, Tensor]
    bounded: Tensor | None = None


PartTrainer = Callable[[Tensor, Sequence[int], int, LocalTerms, Slots], None]
"""(received parameters [P] or [c, P], clients, rounds done, their terms, their slots).

One call at a time: it may hold scratch space.
"""
