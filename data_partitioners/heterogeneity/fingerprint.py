"""The fingerprint of a partition: every measure of heterogeneity with its null band."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from data_partitioners.heterogeneity.label_skew import (
    MOST_PAIRED,
    client_label_measures,
    label_measures,
    summaries,
)
from data_partitioners.heterogeneity.null_band import FEWEST_DRAWS, band, num_draws, random_counts
from data_partitioners.heterogeneity.shift import binned, random_wasserstein, wasserstein
from data_partitioners.heterogeneity.sizes import size_measures

HISTOGRAM_BINS = 100
"""Of the clients' Hellinger distances from the pool, from 0 to 1."""


class Measured(NamedTuple):
    """A measure and its IID null band: where 95 % of random partitions with the same client sizes lie.

    low, high: None where the sizes alone decide the value.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def beyond_chance(self) -> bool:
        """Whether the value lies outside the range of random partitions, on either side."""
        return self.low is not None and self.high is not None and not self.low <= self.value <= self.high


@dataclass(frozen=True)
class Fingerprint:
    """The heterogeneity of the clients.

    measures: by their name in MLflow below `heterogeneity/`. by_client: the measures of each client, float
    [K], NaN where a client holds nothing or is not among those drawn. null_histogram: how the clients'
    Hellinger distances from the pool spread in random partitions, shares of 100 bins from 0 to 1; empty
    where there are no labels.
    """

    measures: dict[str, Measured]
    by_client: dict[str, np.ndarray]
    null_histogram: np.ndarray = field(default_factory=lambda: np.empty(0))


def size_fingerprint(sizes: np.ndarray) -> Fingerprint:
    """Of the sizes [K] alone."""
    return Fingerprint({name: Measured(value) for name, value in size_measures(sizes).items()}, {})


def label_fingerprint(counts: np.ndarray, generator: np.random.Generator) -> Fingerprint:
    """Of label counts int [K, C]. Clients that hold nothing have no mix and are left out.

    Null bands by simulation: 199 random tables with the same row and column sums (39 where the table is large).
    """
    held = np.flatnonzero(counts.sum(axis=1))
    counts_held, num_clients = counts[held][:, counts.any(axis=0)], len(counts)
    paired = np.sort(generator.choice(len(held), min(MOST_PAIRED, len(held)), replace=False))
    by_client = client_label_measures(counts_held)
    values = label_measures(counts_held, paired, by_client)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    histogram = np.zeros(HISTOGRAM_BINS)
    sizes, totals = counts_held.sum(axis=1), counts_held.sum(axis=0)
    for tables in random_counts(sizes, totals, num_draws(*counts_held.shape), generator):
        by_random_client = client_label_measures(tables)
        for name, value in label_measures(tables, paired, by_random_client).items():
            drawn[name].append(value)
        histogram += histogram_of(by_random_client["label_hellinger"])
    measures = {
        name: Measured(float(value), *band(np.concatenate(drawn[name]))) for name, value in values.items()
    }
    spread = {name: _spread(value, held, num_clients) for name, value in by_client.items()}
    return Fingerprint(measures, spread, histogram / histogram.sum())


def histogram_of(distances: np.ndarray) -> np.ndarray:
    """The number of distances in each of 100 bins from 0 to 1, int64 [100]."""
    cells = np.minimum((distances * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
    return np.bincount(cells.ravel(), minlength=HISTOGRAM_BINS)


def shift_fingerprint(
    name: str, values: np.ndarray, owners: np.ndarray, sizes: np.ndarray, generator: np.random.Generator
) -> Fingerprint:
    """Of numbers: Wasserstein distances of the clients' from those of all, under `name`.

    values: float [M, D] of some examples, one column a direction. owners: int [M], the client of each. sizes:
    int [K], of all clients, by which the weighted mean weighs. Null bands by simulation: owners are shuffled
    39 times.
    """
    present, dense = np.unique(owners, return_inverse=True)
    num_clients, cells, sizes = len(sizes), binned(values), sizes[present]
    by_client = wasserstein(cells, dense, len(present))
    drawn = np.stack(list(random_wasserstein(cells, dense, len(present), FEWEST_DRAWS, generator)))
    random_values = summaries(name, drawn, sizes)
    measures = {
        summary: Measured(float(value), *band(random_values[summary]))
        for summary, value in summaries(name, by_client, sizes).items()
    }
    return Fingerprint(measures, {name: _spread(by_client, present, num_clients)})


def joined(*parts: Fingerprint) -> Fingerprint:
    """One fingerprint of several, each with measures of its own."""
    whole = Fingerprint({}, {})
    for part in parts:
        histogram = part.null_histogram if len(part.null_histogram) else whole.null_histogram
        whole = Fingerprint(
            {**whole.measures, **part.measures}, {**whole.by_client, **part.by_client}, histogram
        )
    return whole


def _spread(values: np.ndarray, clients: np.ndarray, num_clients: int) -> np.ndarray:
    """Values of some clients at their places among all, NaN elsewhere, float [K]."""
    everywhere = np.full(num_clients, np.nan)
    everywhere[clients] = values
    return everywhere
