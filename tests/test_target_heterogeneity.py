"""Aiming at a heterogeneity: the search comes as near as it says, and says what is out of reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from data_partitioners import Partition, Pool
from data_partitioners.heterogeneity import label_counts
from data_partitioners.heterogeneity.sizes import size_gini
from data_partitioners.iid import iid
from data_partitioners.partition import Partitioner, numbered
from data_partitioners.target_heterogeneity import nearest, target_heterogeneity
from data_partitioners.tunable import ONE_PARAMETER, OneParameter

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 300))
POOL = Pool(len(LABELS), LABELS)


def aimed(value: float, seed: int = 0, clients: int = 20, **more: Any) -> Partition:
    return target_heterogeneity(value, **more)(POOL, clients, np.random.default_rng(seed))


def mixes(partition: Partition) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = label_counts(LABELS, partition, 10)
    sizes = counts.sum(axis=1)
    return counts[sizes > 0] / sizes[sizes > 0, None], counts.sum(axis=0) / counts.sum(), sizes[sizes > 0]


def hellinger(partition: Partition) -> float:
    shares, pooled, sizes = mixes(partition)
    return float(np.average(np.sqrt(1 - np.sqrt(shares * pooled).sum(axis=1)), weights=sizes))


def divergence(partition: Partition) -> float:
    shares, pooled, sizes = mixes(partition)
    return float(np.average([jensenshannon(mix, pooled, base=2) ** 2 for mix in shares], weights=sizes))


def variation(partition: Partition) -> float:
    shares, pooled, sizes = mixes(partition)
    return float(np.average(np.abs(shares - pooled).sum(axis=1) / 2, weights=sizes))


MEASURES = {
    "hellinger": hellinger,
    "jensen_shannon_bits": divergence,
    "total_variation": variation,
    "size_gini": lambda partition: size_gini(partition.sizes),
    "size_variation": lambda partition: float(partition.sizes.std() / partition.sizes.mean()),
}


@pytest.mark.parametrize("value", [0.1, 0.3, 0.5, 0.6])
@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_aimed_at_is_reached_within_the_tolerance(measure: str, value: float) -> None:
    for seed in range(3):
        tolerance = 0.02 if measure == "size_variation" else 0.01  # it jumps most from draw to draw
        partition = aimed(value, seed, measure=measure, tolerance=tolerance)
        reached = MEASURES[measure](partition)
        assert partition.notes["aim_reached"] == pytest.approx(reached)
        assert abs(reached - value) <= tolerance
        assert sorted(np.concatenate(partition.indices).tolist()) == list(range(3000))


def test_the_partition_is_that_of_the_parameter_that_was_found() -> None:
    partition = aimed(0.4, 7)
    alpha = partition.notes["aim_parameter"]
    plain = ONE_PARAMETER["dirichlet"].make(alpha=alpha)(POOL, 20, np.random.default_rng(7))
    assert partition.digest() == plain.digest()
    assert (partition.notes["aim_value"], partition.notes["aim_tolerance"]) == (0.4, 0.005)


def test_a_higher_value_asks_for_a_smaller_alpha() -> None:
    alphas = [aimed(value).notes["aim_parameter"] for value in (0.0, 0.1, 0.2, 0.4, 0.6, 0.7)]
    assert alphas == sorted(alphas, reverse=True)


def test_zero_is_as_even_as_it_gets_even_where_that_is_not_zero() -> None:
    partition = aimed(0.0, clients=400)
    assert partition.notes["aim_parameter"] == 1e5
    assert partition.notes["aim_reached"] > 0.01


@pytest.mark.parametrize(("value", "clients"), [(0.99, 20), (0.01, 1000)])
def test_a_value_out_of_reach_is_refused_with_the_range(value: float, clients: int) -> None:
    with pytest.raises(
        ValueError,
        match=rf"hellinger {value} is out of reach here: dirichlet gives 0(\.\d+)? "
        r"with alpha=100000 up to 0\.\d+ with alpha=0.001",
    ):
        aimed(value, clients=clients)


def test_arguments_of_the_other_partitioner_are_handed_on() -> None:
    assert aimed(0.5, min_size=100).sizes.min() >= 100
    assert aimed(0.5).sizes.min() < 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "helliger"}, "measure must be one of jensen_shannon_bits, hellinger, .*'helliger'"),
        ({"by": "iid"}, "by must be a partitioner of one parameter: dirichlet.*; got 'iid'"),
        (
            {"by": "log_normal_sizes"},
            "measure must be size_gini or size_variation for log_normal_sizes, .*'hellinger'",
        ),
        ({"value": 1.1}, "value of hellinger must be from 0 to 1, got 1.1"),
        ({"value": -0.1}, "value of hellinger must be from 0 to 1, got -0.1"),
        ({"value": float("nan")}, "from 0 to 1, got nan"),
        ({"value": -1, "measure": "size_variation"}, "must be >= 0, got -1"),
        ({"by": "classes_per_client", "deal": "fair"}, "deal must be one of niid_bench, random, .*'fair'"),
        ({"min_size": "ten"}, "min_size must be int, got 'ten'"),
        ({"balance": 1}, "balance must be bool, got 1"),
        ({"min_size": -1}, "min_size must be >= 0, got -1"),
        ({"tolerance": 0}, "tolerance must be > 0 and < 1, got 0"),
        (
            {"alpha": 3},
            "no argument 'alpha'; allowed: measure, value, by, tolerance, and of dirichlet: min_size",
        ),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        target_heterogeneity(**{"value": 0.3, **arguments})


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("rising", [False, True])
def test_bisection_finds_the_nearest_parameter(whole: bool, rising: bool) -> None:
    even, skewed = (1.0, 100.0) if rising else (100.0, 1.0)

    def measured(parameter: float) -> float:
        assert not whole or parameter == round(parameter)
        return parameter / 100 if rising else 1 - parameter / 100

    found = nearest(measured, 0.333, even, skewed, whole, 1e-6)
    truth = 33.3 if rising else 66.7
    assert found == (round(truth) if whole else pytest.approx(truth, abs=1e-3))


def test_whole_parameters_take_the_nearest_whole_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partitioner that gives the first client k tenths of everything."""

    def lopsided(tenths: int) -> Partitioner:
        def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
            cut = pool.size * tenths // 10
            return numbered([np.arange(cut), np.arange(cut, pool.size)])

        return partition

    line = OneParameter(lopsided, "tenths", lambda pool, number: (5, 10), whole=True)
    monkeypatch.setitem(ONE_PARAMETER, "lopsided", line)
    partition = target_heterogeneity(0.27, "size_gini", "lopsided")(POOL, 2, np.random.default_rng(0))
    assert partition.notes["aim_parameter"] == 8  # Gini 0.3; 7 tenths have 0.2
    assert partition.notes["aim_reached"] == pytest.approx(0.3)


@pytest.mark.parametrize("name", ONE_PARAMETER)
def test_every_line_of_the_table_rises_from_its_even_to_its_skewed_end(name: str) -> None:
    line = ONE_PARAMETER[name]
    measured = MEASURES["size_gini" if line.sizes else "hellinger"]
    even, skewed = line.ends(POOL, 20)
    ladder = np.linspace(even, skewed, 6) if line.whole else np.geomspace(even, skewed, 6)
    tried = dict.fromkeys(round(x) if line.whole else float(x) for x in ladder)
    made = [
        np.mean(
            [measured(line.make(**{line.parameter: x})(POOL, 20, np.random.default_rng(s))) for s in range(5)]
        )
        for x in tried
    ]
    assert made == sorted(made)
    assert made[-1] > made[0] + 0.5


def test_a_regression_is_aimed_by_tenths_of_its_targets() -> None:
    targets = np.random.default_rng(1).standard_normal(3000)
    partition = target_heterogeneity(0.4, tolerance=0.01)(
        Pool(3000, targets=targets), 20, np.random.default_rng(0)
    )
    tenths = np.argsort(np.argsort(targets)) * 10 // 3000
    counts = label_counts(tenths, partition, 10)
    shares = counts / counts.sum(axis=1, keepdims=True)
    distances = np.sqrt(1 - np.sqrt(shares / 10).sum(axis=1))
    assert np.average(distances, weights=partition.sizes) == pytest.approx(0.4, abs=0.01)


def test_without_labels_or_targets_there_is_nothing_to_aim_with() -> None:
    with pytest.raises(ValueError, match="target_heterogeneity needs labels or targets"):
        target_heterogeneity(0.4)(Pool(100), 5, np.random.default_rng(0))
    assert iid()(Pool(100), 5, np.random.default_rng(0)).notes == {}
