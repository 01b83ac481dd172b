"""Local steps by a rule of an algorithm's own, where they are not SGD on one vector of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Walk(NamedTuple):
    """All that one client has in a round for steps of its own.

    start: the received model [T], not to be changed. own: what the client remembers. rate: `local.learning_rate` in
    this round. batches: of the round, in turn, each to be handed to `gradient`. gradient: (parameters [T], batch) ->
    the gradient [T] of the mean loss there, bounded by `local.max_gradient_norm`, with `local.weight_decay`.
    """

    start: Tensor
    own: dict[str, Tensor]
    rate: float
    batches: Iterator[Any]
    gradient: Callable[[Tensor, Any], Tensor]


Take = Callable[[Walk], tuple[Tensor, dict[str, Tensor]]]
"""A client's steps -> (the trained model [T], what the client remembers after them, as `Walk.own` before)."""


@dataclass(frozen=True, eq=False)
class OwnSteps:
    """The steps of the clients in a round, which needs the loop (`Need.LOOP`) and plain SGD (`Need.OWN_STEPS`).

    own: rows [C, ...] of what each client remembers. pull: strength of the term pull/2 ||theta - w||^2 in their
    objective, which is named where they diverge; 0 for none. `train/loss` is that of each batch at its first gradient.
    """

    take: Take
    own: dict[str, Tensor]
    pull: float = 0.0

    def of(self, at: np.ndarray) -> OwnSteps:
        """The steps of some of the clients."""
        return replace(self, own={name: rows[_on(at, rows)] for name, rows in self.own.items()})


def _on(at: np.ndarray, rows: Tensor) -> Tensor:
    return torch.from_numpy(at).to(rows.device)
