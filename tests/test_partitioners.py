"""The contract of every partitioner, and the law that each of them draws from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from data_partitioners import PARTITIONERS, Partition, Partitioner, Pool, checked
from data_partitioners.by_client import by_client
from data_partitioners.compose import compose
from data_partitioners.dirichlet import dirichlet
from data_partitioners.iid import iid
from data_partitioners.noise import noise
from data_partitioners.quantity_dirichlet import quantity_dirichlet
from data_partitioners.shards import shards


class Row(NamedTuple):
    """One way of calling a registered partitioner, and what it promises.

    arguments: or a function from (clients, examples) to them.
    alone: how many of the 100 examples a single client holds.
    crowds: whether there can be as many clients as examples.
    says: the name in messages, where it is another partitioner's.
    """

    name: str
    arguments: dict[str, Any] | Callable[[int, int], dict[str, Any]]
    random: bool = True
    needs: str = ""
    says: str = ""
    counts_clients: bool = False
    names_classes: bool = False
    leaves_out: bool = False
    crowds: bool = True
    alone: int = 100

    def make(self, clients: int = 5, examples: int = 100) -> Partitioner:
        stated = self.arguments(clients, examples) if callable(self.arguments) else self.arguments
        return PARTITIONERS[self.name](**stated)

    @property
    def shown(self) -> str:
        return f"{self.name}{'' if callable(self.arguments) else self.arguments or ''}"


LABELLED = "needs labels or targets"
CLASSED = "needs class labels"
IDENTIFIED = "needs a data set with client ids"
CONTRACT = [
    Row("iid", {}),
    Row("dirichlet", {"alpha": 0.1}, needs=LABELLED),
    Row("dirichlet", {"alpha": 1.0}, needs=LABELLED),
    Row("dirichlet", {"alpha": 1e-310}, needs=LABELLED),
    Row("dirichlet", {"alpha": 1e308}, needs=LABELLED),
    Row("dirichlet", lambda clients, _: {"alpha": tuple(1.0 + np.arange(clients))}, needs=LABELLED),
    Row(
        "dirichlet",
        lambda clients, size: {"alpha": 0.1, "min_size": min(20, size // clients)},
        needs=LABELLED,
    ),
    Row("dirichlet", {"alpha": 0.3, "balance": True}, needs=LABELLED),
    Row("dirichlet", {"alpha": 0.3, "like": "niid_bench"}, needs=LABELLED),
    Row("dirichlet", {"alpha": 0.3, "like": "flwr", "balance": True}, needs=LABELLED),
    Row("dirichlet", {"alpha": 0.05, "min_size": 1, "balance": True}, needs=LABELLED),
    Row("client_dirichlet", {"alpha": 0.1}, needs=LABELLED),
    Row("client_dirichlet", {"alpha": 1e-310, "prior": "uniform"}, needs=LABELLED),
    Row(
        "hierarchical_dirichlet",
        lambda _, size: {"groups": ((0, 1), (2, 3)) if size == 100 else ((0, 1), (2,)), "alpha": 0.3},
        needs=CLASSED,
        names_classes=True,
    ),
    Row("shards", lambda clients, size: {"shards_per_client": min(2, size // clients)}, needs=LABELLED),
    Row(
        "classes_per_client", lambda clients, _: {"k": 4 if clients == 1 else 2}, needs=LABELLED, crowds=False
    ),
    Row(
        "classes_per_client",
        lambda clients, _: {"k": 4 if clients == 1 else 2, "deal": "deterministic"},
        needs=LABELLED,
        crowds=False,
    ),
    Row(
        "classes_per_client",
        lambda clients, _: {"k": 4 if clients == 1 else 1, "deal": "random"},
        needs=LABELLED,
        crowds=False,
        leaves_out=True,
    ),
    Row(
        "distribution",
        lambda clients, size: {"table": tuple((1.0,) * clients for _ in range(4 if size == 100 else 3))},
        needs=LABELLED,
        names_classes=True,
    ),
    Row(
        "distribution",
        lambda clients, _: {"table": tuple((1.0,) * clients for _ in range(4)), "unit": "examples"},
        needs=LABELLED,
        names_classes=True,
        leaves_out=True,
        crowds=False,
        alone=4,
    ),
    Row("distribution", {"table": "power_law"}, needs=LABELLED, crowds=False, alone=70),
    Row(
        "partly_iid",
        lambda clients, size: {"rest": shards(min(2, size // clients)), "share": 0.0 if size == 6 else 0.3},
        needs=LABELLED,
        says="shards",
    ),
    Row("by_client", {}, random=False, needs=IDENTIFIED, counts_clients=True),
    Row("grouped", {}, random=False, needs=IDENTIFIED),
    Row("grouped", {"order": "random"}, needs=IDENTIFIED),
    Row("grouped", {"order": "balanced"}, random=False, needs=IDENTIFIED),
    Row("by_column", {"column": "height"}, random=False, needs="needs a data set with columns"),
    Row("by_column", {"column": "height", "strictness": 0.5}, needs="needs a data set with columns"),
    Row("by_cluster", {}, needs="needs the features"),
    Row("by_cluster", {"method": "gaussian_mixture", "components": 2}, needs="needs the features"),
    Row("by_cluster", {"within_classes": True}, needs="needs the features", crowds=False),
    Row("sizes", {"law": "linear"}),
    Row("sizes", {"law": "exponential"}),
    Row("sizes", lambda clients, size: {"law": (size - clients + 1, *[1] * (clients - 1))}),
    Row("sizes", lambda clients, size: {"law": (1,) * clients}, leaves_out=True, alone=1),
    Row("quantity_dirichlet", {"alpha": 0.3}),
    Row("quantity_dirichlet", {"alpha": 0.3, "min_size": 1}),
    Row("log_normal_sizes", {"sigma": 1.0}),
    Row("power_law_sizes", {"exponent": 1.5, "min_size": 1}),
    Row("noise", {"level": 0.5}),
    Row("rotation", {}),
    Row("label_permutation", {}, needs=CLASSED),
    Row("label_noise", {"rate": 0.2}, needs=CLASSED),
    Row(
        "compose",
        lambda *_: {"parts": (quantity_dirichlet(0.5), dirichlet(0.1), noise(0.1))},
        needs=LABELLED,
        says="dirichlet",
    ),
    Row("target_heterogeneity", {"value": 0.0}, needs=LABELLED),
]
every_partitioner = pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row.shown)

LABELS = np.random.default_rng(5).permutation(np.repeat(np.arange(4), [40, 30, 20, 10]))
SITES = np.random.default_rng(6).choice(["north", "east", "south", "west", "centre"], 100)
FEATURES = np.random.default_rng(7).normal(size=(100, 3)) + 4 * LABELS[:, None]
HEIGHTS = np.random.default_rng(8).normal(size=100)
POOL = Pool(100, LABELS, SITES, features=lambda: FEATURES, column=lambda name: HEIGHTS)


def numbers(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def same(left: Partition, right: Partition) -> bool:
    return left.names == right.names and all(
        np.array_equal(a, b) for a, b in zip(left.indices, right.indices, strict=True)
    )


def test_every_registered_partitioner_has_a_row() -> None:
    elsewhere = {"from_file"}  # its clients are the file's, whatever is asked for: tests/test_from_file.py
    assert {row.name for row in CONTRACT} | elsewhere == set(PARTITIONERS)


@every_partitioner
def test_every_example_is_held_exactly_once(row: Row) -> None:
    for seed in range(5):
        held = sorted(np.concatenate(list(row.make()(POOL, 5, numbers(seed)).indices)).tolist())
        if row.leaves_out:
            assert len(set(held)) == len(held) < 100
        else:
            assert held == list(range(100))


@every_partitioner
def test_a_partition_is_one_int64_array_and_one_name_a_client(row: Row) -> None:
    partition = row.make()(POOL, 5, numbers())
    assert isinstance(partition, Partition)
    assert len(partition.indices) == 5
    assert all(held.dtype == np.int64 and held.ndim == 1 for held in partition.indices)
    assert len(set(partition.names)) == 5
    assert all(type(name) is str for name in partition.names)
    assert partition.sizes.tolist() == [len(held) for held in partition.indices]


@every_partitioner
def test_the_same_generator_gives_the_same_partition(row: Row) -> None:
    assert same(row.make()(POOL, 5, numbers(3)), row.make()(POOL, 5, numbers(3)))


@every_partitioner
def test_another_generator_gives_another_partition_where_it_is_random(row: Row) -> None:
    assert same(row.make()(POOL, 5, numbers(3)), row.make()(POOL, 5, numbers(4))) != row.random


@every_partitioner
def test_the_numbers_of_the_classes_change_nothing(row: Row) -> None:
    if row.names_classes:
        pytest.skip("its arguments name the classes")
    for renaming in ([3, 2, 1, 0], [1, 2, 3, 0], [70, 5, 9, 11], [-5, 0, 3000, 7]):
        relabelled = POOL._replace(labels=np.array(renaming)[LABELS])
        assert same(row.make()(relabelled, 5, numbers(3)), row.make()(POOL, 5, numbers(3)))


@every_partitioner
def test_the_pool_is_left_as_it_was(row: Row) -> None:
    copies = LABELS.copy(), SITES.copy(), FEATURES.copy(), HEIGHTS.copy()
    row.make()(POOL, 5, numbers())
    for array, copy in zip((LABELS, SITES, FEATURES, HEIGHTS), copies, strict=True):
        assert np.array_equal(array, copy)


@every_partitioner
def test_one_client_can_hold_everything(row: Row) -> None:
    partition = row.make(clients=1)(POOL._replace(client_ids=np.repeat("only", 100)), 1, numbers())
    assert len(set(partition.indices[0].tolist())) == len(partition.indices[0]) == row.alone


@every_partitioner
def test_as_many_clients_as_examples_work_or_are_refused_with_what_is_possible(row: Row) -> None:
    pool = Pool(
        6,
        np.array([0, 0, 0, 1, 1, 2]),
        np.arange(6),
        features=lambda: FEATURES[:6],
        column=lambda name: HEIGHTS[:6],
    )
    if row.crowds:
        partition = row.make(6, 6)(pool, 6, numbers())
        assert sorted(np.concatenate(list(partition.indices)).tolist()) == list(range(6))
    else:
        with pytest.raises(ValueError, match=r"possible|there are|classes x"):
            row.make(6, 6)(pool, 6, numbers())


@every_partitioner
def test_more_clients_than_examples_is_an_error(row: Row) -> None:
    with pytest.raises(ValueError, match=r"^clients: 101"):
        row.make(101, 101)(POOL, 101, numbers())


@every_partitioner
def test_the_number_of_clients_is_needed_unless_the_data_says_it(row: Row) -> None:
    if row.counts_clients:
        assert len(row.make()(POOL, None, numbers()).indices) == 5
    else:
        with pytest.raises(ValueError, match=f"clients: {row.says or row.name} needs a number of clients"):
            row.make()(POOL, None, numbers())


@every_partitioner
def test_what_the_data_lacks_is_an_error(row: Row) -> None:
    bare = Pool(100)
    if row.needs:
        with pytest.raises(ValueError, match=f"partitioner: {row.says or row.name} {row.needs}"):
            row.make()(bare, 5, numbers())
    else:
        assert row.make()(bare, 5, numbers()).sizes.sum() == (5 if row.leaves_out else 100)


@every_partitioner
def test_composed_alone_a_partitioner_is_itself(row: Row) -> None:
    alone, composed = row.make()(POOL, 5, numbers(3)), compose((row.make(),))(POOL, 5, numbers(3))
    assert same(alone, composed)
    assert alone.digest() == composed.digest()


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf"), float("nan")])
def test_alpha_must_be_positive_and_finite(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"^alpha must be a finite number > 0, got {alpha}$"):
        dirichlet(alpha)


def test_min_size_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match=r"^min_size must be >= 0, got -1$"):
        dirichlet(1.0, min_size=-1)


@pytest.mark.parametrize(("size", "clients"), [(100, 7), (5, 5), (10, 1), (23, 4)])
def test_iid_sizes_differ_by_at_most_one(size: int, clients: int) -> None:
    sizes = iid()(Pool(size), clients, numbers()).sizes
    assert sizes.max() - sizes.min() <= 1


def test_iid_gives_every_example_to_every_client_equally_often() -> None:
    draws, clients, size = 4000, 4, 8
    held_by = np.zeros((size, clients))
    generator = numbers()
    for _ in range(draws):
        for client, held in enumerate(iid()(Pool(size), clients, generator).indices):
            held_by[held, client] += 1
    assert stats.chisquare(held_by, axis=1).pvalue.min() > 1e-4


def test_iid_shuffles_so_that_neighbours_part() -> None:
    apart = [
        next(c for c, held in enumerate(partition.indices) if 0 in held)
        != next(c for c, held in enumerate(partition.indices) if 1 in held)
        for partition in (iid()(Pool(20), 4, numbers(seed)) for seed in range(400))
    ]
    expected = 1 - 4 / 19  # the chance that another example is not among the 4 others of one's own client
    assert abs(np.mean(apart) - expected) < 5 * np.sqrt(expected * (1 - expected) / 400)


@pytest.mark.parametrize(
    ("ids", "names", "indices"),
    [
        (np.array(["b", "a", "b", "c"]), ("a", "b", "c"), ([1], [0, 2], [3])),
        (np.array(["b", "a", "b", "c"], object), ("a", "b", "c"), ([1], [0, 2], [3])),
        (np.array([10, 2, 10, 2]), ("2", "10"), ([1, 3], [0, 2])),
        (np.array([True, False, True, True]), ("False", "True"), ([1], [0, 2, 3])),
    ],
)
def test_by_client_is_one_client_for_each_natural_id_in_sorted_order(
    ids: np.ndarray, names: tuple[str, ...], indices: tuple[list[int], ...]
) -> None:
    partition = by_client()(Pool(4, client_ids=ids), None, numbers())
    assert partition.names == names
    assert [held.tolist() for held in partition.indices] == list(indices)


def test_by_client_leaves_the_examples_of_a_client_in_their_order() -> None:
    for held in by_client()(POOL, None, numbers()).indices:
        assert held.tolist() == sorted(held.tolist())


def test_by_client_refuses_another_number_of_clients_than_there_are() -> None:
    assert len(by_client()(POOL, 5, numbers()).indices) == 5
    with pytest.raises(ValueError, match="clients: 4 was asked for, but the data set has 5 natural clients"):
        by_client()(POOL, 4, numbers())


def test_the_digest_changes_with_who_holds_what_and_in_which_order() -> None:
    def digest(*clients: list[int]) -> str:
        return Partition(tuple(np.array(held, np.int64) for held in clients), ("x",) * len(clients)).digest()

    base = digest([0, 1], [2])
    assert base == digest([0, 1], [2])
    others = [
        digest([0], [1, 2]),
        digest([1, 0], [2]),
        digest([2], [0, 1]),
        digest([0, 1, 2]),
        digest([0, 1], [2], []),
    ]
    assert len({base, *others}) == 6


@pytest.mark.parametrize(
    "result",
    [
        [[0, 2], [1]],
        ([0, 2], (1,)),
        [np.array([0, 2], np.uint8), np.array([1], np.int32)],
        [range(0, 3, 2), range(1, 2)],
        Partition((np.array([0, 2]), np.array([1])), ("0", "1")),
        Partition([[0, 2], [1]], ["0", "1"]),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_the_result_of_an_own_partitioner_becomes_a_partition(result: Any) -> None:
    partition = checked(result, 3, "own")
    assert [held.tolist() for held in partition.indices] == [[0, 2], [1]]
    assert {held.dtype for held in partition.indices} == {np.dtype(np.int64)}
    assert list(partition.names) == ["0", "1"]
    assert len(partition.digest()) == 16


def test_an_own_partitioner_may_leave_clients_and_examples_out() -> None:
    partition = checked([[3], [], np.array([])], 9, "own")
    assert partition.sizes.tolist() == [1, 0, 0]
    assert partition.indices[1].dtype == np.int64


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([[0, 1], [1]], "hands out example 1 more than once"),
        ([[0, 0]], "hands out example 0 more than once"),
        ([[0, 3]], "hands out an example outside 0 ... 2"),
        ([[-1]], "hands out an example outside 0 ... 2"),
        ([[], []], "hands out no example at all"),
        ([], "must return a Partition or one array of indices"),
        (None, "got NoneType"),
        (np.array([[0, 1]]), "got ndarray"),
        ([[0.0, 1.0]], "whole numbers [n] each, got float64 [2]"),
        ([[True, False, True]], "whole numbers [n] each, got bool [3]"),
        ([[[0, 1]]], "whole numbers [n] each, got int64 [1, 2]"),
        ([0, 1], "whole numbers [n] each, got int64 []"),
        (["ab"], "whole numbers [n] each"),
        (Partition((np.array([0.0]),), ("a",)), "whole numbers [n] each, got float64 [1]"),
        (Partition((np.array([0]),), ("a", "b")), "names 2 clients, but hands out to 1"),
        (Partition((np.array([0, 0]),), ("a",)), "hands out example 0 more than once"),
    ],
    ids=str,
)
def test_what_an_own_partitioner_must_not_return(result: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^partitioner: own ") as error:
        checked(result, 3, "own")
    assert message in str(error.value)
