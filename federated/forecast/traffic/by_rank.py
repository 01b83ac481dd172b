"""The sizes of payloads where clients have adapters of different ranks."""

from __future__ import annotations

from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.lora.ranks import Ranks
from federated.forecast.traffic.amounts import Amount, lengths, sizes, total, unlike
from federated.run.clients.cohort import are_secret, cohorts
from federated.run.setup import Setup

_MOST_COUNTED = 10_000


def mean_payload(
    setup: Setup, ranks: Ranks, way: Literal["uplink", "downlink"], row: Tensor, more: int
) -> Amount:
    """Bytes of a payload in the mean over all that are sent, of rank after rank.

    row: [M + R], the numbers that travel, of which R are running statistics in the model. more: bytes beside it.
    """
    found = list[Amount]()
    for own, share in zip(ranks.each, _shares(setup, ranks, way), strict=True):
        codec = own.uplink if way == "uplink" else own.downlink
        rest = torch.arange(setup.parts.travelling.num_moving, len(row))
        part = row[torch.cat([own.places.cpu(), rest])]
        first, *others = lengths(codec, torch.cat([part[None], unlike(codec, part)]))
        found.append(sizes([first + more], [each + more for each in others]).times(share))
    return total(found)


def _shares(setup: Setup, ranks: Ranks, way: str) -> list[float]:
    """How many of the payloads are of each rank: who takes part when is known beforehand, unless that is secret."""
    counts = np.zeros(len(ranks.each))
    if are_secret(setup):
        np.add.at(counts, ranks.of[setup.trainers.eligible], 1)
    else:
        for cohort in islice(cohorts(setup), min(setup.last_round, _MOST_COUNTED)):
            np.add.at(counts, ranks.of[cohort.heard if way == "uplink" else cohort.clients], 1)
    shares: list[float] = (counts / max(counts.sum(), 1)).tolist()
    return shares
