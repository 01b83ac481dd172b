"""The IID null band: random tables have the law of a shuffle, and the band covers 95 % of random partitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from data_partitioners import Pool
from data_partitioners.heterogeneity import label_counts, label_fingerprint, shift_fingerprint
from data_partitioners.heterogeneity.null_band import (
    FEWEST_DRAWS,
    MOST_DRAWS,
    band,
    num_draws,
    random_counts,
)
from data_partitioners.iid import iid
from data_partitioners.partition import numbered

SIZES, TOTALS = np.array([7, 0, 3, 12, 8]), np.array([10, 15, 5])
LABELS = np.repeat(np.arange(3), TOTALS)


def tables(draws: int, sizes: np.ndarray = SIZES, totals: np.ndarray = TOTALS) -> np.ndarray:
    return np.concatenate(list(random_counts(sizes, totals, draws, np.random.default_rng(1))))


def shuffled(generator: np.random.Generator) -> np.ndarray:
    """Label counts of one random partition, the plain way."""
    dealt = np.split(generator.permutation(30), SIZES.cumsum()[:-1])
    return label_counts(LABELS, numbered(dealt), 3)


def test_random_tables_keep_their_sums() -> None:
    drawn = tables(500)
    assert drawn.shape == (500, 5, 3)
    assert drawn.min() >= 0
    assert (drawn.sum(axis=2) == SIZES).all()
    assert (drawn.sum(axis=1) == TOTALS).all()


@pytest.mark.parametrize("client", [0, 2, 3, 4])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_cell_is_hypergeometric(client: int, label: int) -> None:
    drawn = tables(4000)[:, client, label]
    law = stats.hypergeom(30, TOTALS[label], SIZES[client])
    outcomes = np.arange(SIZES[client] + 1)
    seen, expected = np.bincount(drawn, minlength=len(outcomes)), 4000 * law.pmf(outcomes)
    common = expected > 5
    assert seen[~common].sum() < 30
    share = seen[common].sum() / expected[common].sum()
    assert stats.chisquare(seen[common], share * expected[common]).pvalue > 1e-4


def test_cells_hang_together_as_they_do_in_a_shuffle() -> None:
    """Covariances of cells of one client, one label and neither, against a plain shuffle's, within 5 errors."""
    generator = np.random.default_rng(5)
    plain = np.stack([shuffled(generator) for _ in range(4000)]).reshape(4000, -1).astype(float)
    ours = tables(4000).reshape(4000, -1).astype(float)
    for one, other in ((0, 9), (0, 1), (6, 10), (9, 14)):
        products = [
            (x[:, one] - x[:, one].mean()) * (x[:, other] - x[:, other].mean()) for x in (ours, plain)
        ]
        error = np.hypot(*(product.std() / np.sqrt(4000) for product in products))
        assert abs(products[0].mean() - products[1].mean()) < 5 * error


def test_large_tables_are_drawn_in_parts() -> None:
    parts = list(random_counts(np.full(30_000, 2), np.full(10, 6_000), 7, np.random.default_rng(0)))
    assert [part.shape for part in parts] == [(3, 30_000, 10), (3, 30_000, 10), (1, 30_000, 10)]
    assert all((part.sum(axis=1) == 6_000).all() for part in parts)


@pytest.mark.parametrize("draws", [FEWEST_DRAWS, MOST_DRAWS])
def test_the_band_leaves_out_the_share_it_says(draws: int) -> None:
    low, high = band(np.random.default_rng(0).permutation(draws))
    rank = (draws + 1) // 40
    assert (low, high) == (rank - 1, draws - rank)
    assert (draws + 1 - 2 * rank) / (draws + 1) == 0.95


def test_small_tables_have_more_draws() -> None:
    assert num_draws(100, 10) == MOST_DRAWS
    assert num_draws(5_000, 10) == FEWEST_DRAWS


def covered(trials: int, seed: int, clients: int, size: int, classes: int) -> dict[str, float]:
    """How often an IID partition lies in its own band, measure by measure."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, size, p=generator.dirichlet(np.full(classes, 2.0)))
    inside: dict[str, int] = {}
    for _ in range(trials):
        partition = iid()(Pool(size), clients, generator)
        counts = label_counts(labels, partition, classes)
        for name, (value, low, high) in label_fingerprint(counts, generator).measures.items():
            assert low is not None
            assert high is not None
            inside[name] = inside.get(name, 0) + (low <= value <= high)
    return {name: number / trials for name, number in inside.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clients", "size", "classes"),
    [
        pytest.param(40, 400, 10, marks=pytest.mark.nightly),
        (5, 500, 3),
        pytest.param(450, 3000, 10, marks=pytest.mark.nightly),
    ],
)
def test_an_iid_partition_lies_in_the_band_in_95_percent_of_draws(
    clients: int, size: int, classes: int
) -> None:
    """Exactly 95 % by exchangeability; ties can only add. Within 4.5 standard errors of a binomial, both draws."""
    trials = 400
    shares = covered(trials, 3, clients, size, classes)
    error = np.sqrt(0.95 * 0.05 / trials)
    assert min(shares.values()) > 0.95 - 4.5 * error
    # Means have hardly any ties, so they must not lie inside too often either.
    assert shares["label_jensen_shannon_bits_weighted_mean"] < 0.95 + 4.5 * error
    assert shares["label_hellinger_mean"] < 0.95 + 4.5 * error


def test_features_of_an_iid_partition_lie_in_the_band_in_95_percent_of_draws() -> None:
    generator = np.random.default_rng(8)
    values, owners = generator.standard_normal((300, 4)), np.repeat(np.arange(6), [20, 30, 40, 50, 60, 100])
    trials, inside = 400, 0
    for _ in range(trials):
        found = shift_fingerprint("x", values, generator.permutation(owners), np.bincount(owners), generator)
        value, low, high = found.measures["x_mean"]
        inside += low is not None and high is not None and low <= value <= high
    assert abs(inside / trials - 0.95) < 4.5 * np.sqrt(0.95 * 0.05 / trials)


def test_a_skew_lies_beyond_the_band_and_small_iid_clients_do_not() -> None:
    small = label_counts(np.arange(400) % 10, iid()(Pool(400), 40, np.random.default_rng(1)), 10)
    measured = label_fingerprint(small, np.random.default_rng(0)).measures["label_hellinger_mean"]
    assert measured.value > 0.3  # looks divergent, and is chance
    assert not measured.beyond_chance
    skewed = label_fingerprint(10 * np.eye(10, dtype=int), np.random.default_rng(0))
    assert skewed.measures["label_hellinger_mean"].beyond_chance


def test_the_null_histogram_is_that_of_clients_in_random_partitions() -> None:
    counts = np.tile([50, 50], (10, 1))
    histogram = label_fingerprint(counts, np.random.default_rng(0)).null_histogram
    assert histogram.sum() == pytest.approx(1)
    assert histogram[:20].sum() > 0.99
