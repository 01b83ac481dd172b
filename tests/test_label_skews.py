"""The law of each label skew against theory, and its exact switches against a slow loop."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from data_partitioners import Partition, Pool
from data_partitioners.classes_per_client import classes_per_client
from data_partitioners.client_dirichlet import client_dirichlet
from data_partitioners.compose import compose
from data_partitioners.dirichlet import dirichlet
from data_partitioners.distribution import distribution
from data_partitioners.hierarchical_dirichlet import hierarchical_dirichlet
from data_partitioners.partly_iid import partly_iid
from data_partitioners.shards import shards
from data_partitioners.sizes import sizes


def numbers(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def counts(partition: Partition, labels: np.ndarray) -> np.ndarray:
    """Examples of each class at each client [K, classes]."""
    return np.array(
        [[(labels[held] == c).sum() for c in range(labels.max() + 1)] for held in partition.indices]
    )


def pool_of(labels: np.ndarray) -> Pool:
    return Pool(len(labels), labels)


def balanced(classes: int, each: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), each))


def test_an_alpha_for_each_client_gives_shares_with_the_mean_and_variance_of_the_law() -> None:
    """Share k ~ Beta(alpha_k, A - alpha_k), A the sum."""
    alphas, size, draws = np.array([0.5, 1.0, 4.0]), 2000, 800
    generator = numbers(1)
    pool = pool_of(np.zeros(size, int))
    shares = np.stack([dirichlet(tuple(alphas))(pool, 3, generator).sizes / size for _ in range(draws)])
    mean = alphas / alphas.sum()
    variance = mean * (1 - mean) / (alphas.sum() + 1)
    assert np.all(np.abs(shares.mean(axis=0) - mean) < 5 * np.sqrt(variance / draws))
    squares = (shares - mean) ** 2
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(draws))


@pytest.mark.parametrize("like", ["niid_bench", "flwr"])
def test_the_originals_are_matched_cut_for_cut(like: Any) -> None:
    """Their algorithm written out with lists, on the same draws: counts are equal, client by client."""
    labels = balanced(6, 47)
    order = list(dict.fromkeys(labels.tolist()))
    for seed in range(30):
        table = counts(dirichlet(0.2, balance=True, like=like)(pool_of(labels), 4, numbers(seed)), labels)
        generator, average = numbers(seed), len(labels) / 4
        held: list[list[int]] = [[], [], [], []]
        for label in order:
            shares = generator.dirichlet([0.2] * 4)
            for k in range(4):
                full = len(held[k]) >= average if like == "niid_bench" else len(held[k]) > average
                shares[k] = 0 if full else shares[k]
            cuts = [int(cut) for cut in np.cumsum(shares / shares.sum()) * 47][:-1]
            generator.permutation(47)
            for k, (start, end) in enumerate(zip([0, *cuts], [*cuts, 47], strict=True)):
                held[k] += [label] * (end - start)
        assert table.tolist() == [[mine.count(c) for c in range(6)] for mine in held]


def test_without_its_minimum_size_flwrs_dirichlet_is_ours_but_for_where_it_cuts() -> None:
    labels = balanced(3, 100)
    ours, theirs = (
        counts(dirichlet(0.7, like=like)(pool_of(labels), 5, numbers(3)), labels)
        for like in ("fedstudy", "flwr")
    )
    assert np.abs(ours - theirs).max() == 1


@pytest.mark.parametrize(("alpha", "prior"), [(0.5, "pool"), (5.0, "pool"), (3.0, "uniform")])
def test_a_clients_own_label_mix_has_the_mean_and_variance_of_the_law(alpha: float, prior: Any) -> None:
    """One client of n out of a stock that it cannot empty: counts are Dirichlet-multinomial.

    Mean n p; variance n p (1 - p) (n + a) / (1 + a), a the sum of the parameters.
    """
    labels, n, draws = np.repeat([0, 1, 2], [1200, 600, 200]), 60, 600
    p = np.array([0.6, 0.3, 0.1]) if prior == "pool" else np.full(3, 1 / 3)
    skew = compose((sizes((n,)), client_dirichlet(alpha, prior)))
    generator = numbers(4)
    found = np.stack(
        [
            np.bincount(labels[skew(pool_of(labels), 1, generator).indices[0]], minlength=3)
            for _ in range(draws)
        ]
    )
    variance = n * p * (1 - p) * (n + alpha) / (1 + alpha)
    assert np.all(np.abs(found.mean(axis=0) - n * p) < 5 * np.sqrt(variance / draws))
    squares = (found - n * p) ** 2
    assert np.all(np.abs(squares.mean(axis=0) - variance) < 5 * squares.std(axis=0) / np.sqrt(draws))


@pytest.mark.parametrize(
    "skew",
    [
        client_dirichlet(0.05),
        dirichlet(0.05),
        shards(2),
        hierarchical_dirichlet(((0, 1), (2, 3)), 0.1, 1.0),
        partly_iid(dirichlet(0.05), 0.25),
        distribution(((1, 0, 0, 2, 0, 1), (0, 1, 0, 0, 0, 1), (0, 0, 1, 0, 0, 1), (1, 0, 0, 0, 0, 0))),
    ],
    ids=lambda skew: skew.name,
)
@pytest.mark.parametrize("stated", [(10, 20, 30, 5, 35, 0), (50, 0, 0, 0, 0, 50), (1, 2, 3, 4, 5, 6)])
def test_stated_sizes_are_kept_exactly(skew: Any, stated: tuple[int, ...]) -> None:
    labels = balanced(4, 25)
    for seed in range(5):
        partition = compose((sizes(stated), skew))(pool_of(labels), 6, numbers(seed))
        assert partition.sizes.tolist() == list(stated)
        assert len(np.unique(np.concatenate(list(partition.indices)))) == sum(stated)


def test_equal_sizes_are_exact_where_none_are_stated() -> None:
    labels = balanced(4, 25)
    for skew in (client_dirichlet(0.01), hierarchical_dirichlet(((0, 1), (2, 3))), shards(2)):
        assert skew(pool_of(labels), 7, numbers()).sizes.tolist() == [15, 15, 14, 14, 14, 14, 14]


def test_who_gets_the_last_of_a_class_does_not_depend_on_the_clients_number() -> None:
    """All want class 0 alone, of which there is a third of what they want."""
    labels = np.repeat([0, 1], [20, 40])
    table = ((1.0, 1.0, 1.0), (1e-12, 1e-12, 1e-12))
    skew = compose((sizes((20, 20, 20)), distribution(table)))
    got = np.sum(
        [counts(skew(pool_of(labels), 3, numbers(seed)), labels)[:, 0] for seed in range(300)], axis=0
    )
    assert got.sum() == 20 * 300
    assert stats.chisquare(got).pvalue > 1e-4


def test_composed_dirichlet_shares_follow_the_law_where_the_stock_is_no_limit() -> None:
    """A client of one example in a large pool has class c with chance 1 / C: its mixes are exchangeable in c."""
    labels = balanced(4, 500)
    generator = numbers(3)
    skew = compose((sizes((1, 1)), dirichlet(0.3)))
    first = [labels[skew(pool_of(labels), 2, generator).indices[0][0]] for _ in range(1200)]
    assert stats.chisquare(np.bincount(first, minlength=4)).pvalue > 1e-4


def test_coarse_mixes_and_fine_mixes_have_the_variances_of_their_laws() -> None:
    """Share of a coarse label ~ Beta(a, (G - 1) a); of a fine one within it ~ Beta(b, (F - 1) b)."""
    labels, n, draws, alpha, beta = balanced(6, 400), 400, 300, 0.5, 2.0
    skew = compose((sizes((n,)), hierarchical_dirichlet(((0, 1, 2), (3, 4, 5)), alpha, beta)))
    generator = numbers(8)
    found = np.stack(
        [
            np.bincount(labels[skew(pool_of(labels), 1, generator).indices[0]], minlength=6)
            for _ in range(draws)
        ]
    )
    coarse = found[:, :3].sum(axis=1)
    assert stats.kstest(coarse / n, stats.beta(alpha, alpha).cdf).statistic < 0.12
    enough = coarse > 100
    fine = found[enough, 0] / coarse[enough]
    expected = (1 / 3) * (2 / 3) / (3 * beta + 1) + np.mean((1 / 3) * (2 / 3) / coarse[enough])
    assert abs(fine.mean() - 1 / 3) < 5 * np.sqrt(expected / enough.sum())
    assert fine.var() == pytest.approx(expected, rel=0.25)


def test_a_fine_class_that_runs_out_is_replaced_within_its_group() -> None:
    """A client of ten wants one group alone: where that is {0, 1}, at most two of class 0 and the rest of class 1."""
    labels = np.repeat([0, 1, 2], [2, 18, 20])
    skew = compose((sizes((10,)), hierarchical_dirichlet(((0, 1), (2,)), 1e-300, 0.1)))
    found = np.concatenate([counts(skew(pool_of(labels), 1, numbers(seed)), labels) for seed in range(60)])
    assert set(found[:, 2]) == {0, 10}
    assert [2, 8, 0] in found.tolist()


def test_groups_must_be_the_classes_of_the_data() -> None:
    pool = pool_of(balanced(4, 5))
    with pytest.raises(ValueError, match="class 3 is in none of the groups"):
        hierarchical_dirichlet(((0, 1), (2,)))(pool, 2, numbers())
    with pytest.raises(ValueError, match="groups names class 9, but the pool's classes are 0, 1, 2, 3"):
        hierarchical_dirichlet(((0, 1), (2, 3, 9)))(pool, 2, numbers())
    with pytest.raises(ValueError, match="class 1 is listed more than once"):
        hierarchical_dirichlet(((0, 1), (1, 2)))
    with pytest.raises(ValueError, match="at least 2 lists"):
        hierarchical_dirichlet(((0, 1),))


def test_shards_of_the_mnist_experiment() -> None:
    """100 clients, 200 shards of 3 from 10 classes of 60: at most two classes each, six examples each."""
    labels = balanced(10, 60)
    partition = shards(2)(pool_of(labels), 100, numbers())
    table = counts(partition, labels)
    assert np.all(partition.sizes == 6)
    assert np.all((table > 0).sum(axis=1) <= 2)
    assert np.all(table % 3 == 0)
    same_twice = [
        (counts(shards(2)(pool_of(labels), 100, numbers(s)), labels) == 6).any(axis=1).mean()
        for s in range(50)
    ]
    assert np.mean(same_twice) == pytest.approx(19 / 199, abs=0.02)  # the second shard of 20 of a class


def test_more_shards_than_examples_says_what_is_possible() -> None:
    with pytest.raises(
        ValueError, match=r"shards_per_client 3 for 5 clients needs 15 examples, there are 12; at most 2"
    ):
        shards(3)(pool_of(balanced(3, 4)), 5, numbers())


@pytest.mark.parametrize("deal", ["niid_bench", "random", "deterministic"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_every_client_holds_k_classes_and_a_class_is_shared_equally(deal: Any, k: int) -> None:
    labels = balanced(5, 60)
    for seed in range(10):
        table = counts(classes_per_client(k, deal)(pool_of(labels), 12, numbers(seed)), labels)
        assert np.all((table > 0).sum(axis=1) == k)
        for column in table.T:
            assert column.sum() in (0, 60)
            assert not column.any() or np.ptp(column[column > 0]) <= 1


def test_niid_bench_deals_each_client_its_own_first_class_and_others_evenly() -> None:
    labels = np.tile(np.arange(4), 50)
    pairs = np.zeros((4, 4))
    for seed in range(300):
        table = counts(classes_per_client(2)(pool_of(labels), 4, numbers(seed)), labels)
        assert np.all(np.diag(table) > 0)
        pairs += table > 0
    others = pairs[~np.eye(4, dtype=bool)].reshape(4, 3)
    assert stats.chisquare(others, axis=1).pvalue.min() > 1e-4


def test_deterministic_classes_are_neighbours() -> None:
    labels = np.tile(np.arange(4), 50)
    table = counts(classes_per_client(2, "deterministic")(pool_of(labels), 5, numbers()), labels) > 0
    assert [np.flatnonzero(row).tolist() for row in table] == [[0, 1], [1, 2], [2, 3], [0, 3], [0, 1]]


@pytest.mark.parametrize(
    ("k", "clients", "message"),
    [
        (5, 3, "k is 5, but there are 4 classes; at most 4 is possible"),
        (4, 9, "class 0 is dealt to 9 clients but has 5 examples; about 5 clients with 4 classes each"),
    ],
)
def test_impossible_numbers_of_classes_say_what_is_possible(k: int, clients: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classes_per_client(k)(pool_of(np.tile(np.arange(4), 5)), clients, numbers())


def test_a_table_of_shares_is_met_within_one_example() -> None:
    labels = np.repeat([0, 1], [100, 50])
    table = counts(distribution(((1, 3), (2, 1)))(pool_of(labels), 2, numbers()), labels)
    assert table.T.tolist() == [[25, 75], [33, 17]]


def test_a_table_of_examples_is_met_exactly_and_the_rest_left_out() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [100, 50]))
    table = counts(distribution(((10, 3), (0, 50)), "examples")(pool_of(labels), 2, numbers()), labels)
    assert table.T.tolist() == [[10, 3], [0, 50]]
    with pytest.raises(ValueError, match="asks for 51 examples of class 1, there are 50"):
        distribution(((1, 1), (1, 50)), "examples")(pool_of(labels), 2, numbers())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": ()}, "rows of equal length"),
        ({"table": ((1, 2), (1,))}, "rows of equal length"),
        ({"table": ((1, -1),)}, "finite numbers >= 0"),
        ({"table": ((0, 0), (1, 1))}, "row 0 to no client"),
        ({"table": ((0.5, 1),), "unit": "examples"}, "whole numbers"),
        ({"table": "power_law", "unit": "examples"}, "unit must be 'shares'"),
    ],
)
def test_what_is_no_table(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distribution(**arguments)


def test_the_power_law_is_that_of_fedprox() -> None:
    """Two neighbouring classes each, at least five of each; beyond these, shares are those of log-normal draws."""
    labels, clients = np.tile(np.arange(10), 3000), 100
    logs = []
    for seed in range(5):
        table = counts(distribution("power_law")(pool_of(labels), clients, numbers(seed)), labels)
        for client, row in enumerate(table):
            assert sorted(np.flatnonzero(row)) == sorted([client % 10, (client + 1) % 10])
        assert table[table > 0].min() >= 5
        logs += np.log(table[table > 60] - 5.0).tolist()
    assert len(logs) > 300
    with pytest.raises(ValueError, match=r"at most about 50 clients are possible"):
        distribution("power_law")(pool_of(np.tile(np.arange(10), 50)), 60, numbers())


def test_an_iid_share_leaves_the_rest_to_the_other_partitioner() -> None:
    """10 % similarity: a client of 100 has 90 of one class, and 10 at random."""
    labels = balanced(10, 100)
    table = counts(partly_iid(shards(1), 0.1)(pool_of(labels), 10, numbers()), labels)
    assert np.all(table.sum(axis=1) == 100)
    assert np.all(table.max(axis=1) >= 70)
    assert np.all((table > 0).sum(axis=1) > 3)
    assert (counts(partly_iid(shards(1), 0.0)(pool_of(labels), 10, numbers()), labels) > 0).sum() == 10


def test_label_skews_of_a_regression_work_on_quantile_bins() -> None:
    """One shard each of ten bins of the target: every client has a tenth of its range."""
    targets = np.random.default_rng(2).exponential(size=200)
    pool = Pool(200, targets=targets)
    partition = shards(1, bins=10)(pool, 10, numbers())
    bands = sorted((targets[held].min(), targets[held].max()) for held in partition.indices)
    assert all(low[1] < high[0] for low, high in pairwise(bands))
    for skew in (dirichlet(0.1), client_dirichlet(0.1), classes_per_client(2, bins=5)):
        assert skew(pool, 5, numbers()).sizes.sum() == 200
    with pytest.raises(ValueError, match="needs one target to bin, the data set has 2"):
        dirichlet(1.0)(Pool(10, targets=np.zeros((10, 2))), 2, numbers())
    with pytest.raises(ValueError, match="bins must be at least 2, got 1"):
        dirichlet(1.0, bins=1)
