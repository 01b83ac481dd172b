"""Clients of different ranks: which rows of A and columns of B each of them has, and the codecs of what it sends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.compressors import Compressor
from federated.compressors.parts import Layout

_Side = Literal["A", "B"] | None


class OfRank(NamedTuple):
    """What clients of one rank have.

    places: which of the M numbers that travel, int64. absent: which of the model's [P] they do not have, int64.
    uplink, downlink: the codecs for as many.
    """

    rank: int
    places: Tensor
    absent: Tensor
    uplink: Compressor
    downlink: Compressor


class Ranks(NamedTuple):
    """The ranks of a run's clients. each: in falling order. of: the place in it of each client's, int64 [clients]."""

    each: tuple[OfRank, ...]
    of: np.ndarray

    def among(self, clients: Sequence[int]) -> Iterator[tuple[OfRank, list[int]]]:
        """The ranks that some clients have, and where in the list the clients of each are."""
        places = self.of[np.asarray(clients, np.int64)]
        for number in np.unique(places).tolist():
            yield self.each[number], np.flatnonzero(places == number).tolist()

    def cut(self, rows: Tensor, clients: Sequence[int]) -> Tensor:
        """The models [c, P] as these clients have them: zeros where they have nothing."""
        found = rows.clone()
        for own, at in self.among(clients):
            found[torch.tensor(at)[:, None], own.absent] = 0
        return found

    def padded(self, updates: Tensor, model: Tensor, clients: Sequence[int]) -> Tensor:
        """Updates [c, P] from the model [P] to the clients' own models, which are zero where these have nothing."""
        found = updates.clone()
        for own, at in self.among(clients):
            found[torch.tensor(at)[:, None], own.absent] = -model[own.absent].to(found)
        return found


def present(layout: Layout, factors: Collection[str], rank: int) -> Tensor:
    """Which numbers of a vector of this layout clients of a rank have, bool: of factors the first rows or columns."""
    return torch.cat(
        [
            torch.ones(0, dtype=torch.bool),
            *(_of_one(shape, rank, _side(name, factors)) for name, shape in layout),
        ]
    )


def shortened_layout(layout: Layout, factors: Collection[str], rank: int) -> Layout:
    """The layout of what clients of a rank have."""
    return tuple((name, _shape(shape, rank, _side(name, factors))) for name, shape in layout)


def _of_one(shape: tuple[int, ...], rank: int, side: _Side) -> Tensor:
    found = torch.ones(shape, dtype=torch.bool)
    if side == "A":
        found[rank:] = False
    if side == "B":
        found[:, rank:] = False
    return found.flatten()


def _shape(shape: tuple[int, ...], rank: int, side: _Side) -> tuple[int, ...]:
    if side is None:
        return shape
    return (rank, *shape[1:]) if side == "A" else (shape[0], rank, *shape[2:])


def _side(name: str, factors: Collection[str]) -> _Side:
    """Which factor of an adapter a parameter is, if any."""
    if name not in factors:
        return None
    return "A" if ".lora_A" in name else "B"
