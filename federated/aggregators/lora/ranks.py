"""Clients of different ranks: which rows of A and columns of B each of them has, and the codecs of what it sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.lora.adapters import is_factor
from federated.compressors import Compressor
from federated.compressors.parts import Layout


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


def present(layout: Layout, rank: int) -> Tensor:
    """Which numbers of a vector of this layout clients of a rank have, bool: of factors the first rows or columns."""
    return torch.cat(
        [torch.ones(0, dtype=torch.bool), *(_of_one(name, shape, rank) for name, shape in layout)]
    )


def shortened_layout(layout: Layout, rank: int) -> Layout:
    """The layout of what clients of a rank have."""
    return tuple((name, _shape(name, shape, rank)) for name, shape in layout)


def _of_one(name: str, shape: tuple[int, ...], rank: int) -> Tensor:
    found = torch.ones(shape, dtype=torch.bool)
    if is_factor(name):
        found[rank:] &= not _is_a(name)
        found[:, rank:] &= _is_a(name)
    return found.flatten()


def _shape(name: str, shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    if not is_factor(name):
        return shape
    return (rank, *shape[1:]) if _is_a(name) else (shape[0], rank, *shape[2:])


def _is_a(name: str) -> bool:
    return ".lora_A" in name
