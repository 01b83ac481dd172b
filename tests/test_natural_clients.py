"""Clients that the data themselves suggest: ids, silos, bands of a property, clusters - and real ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from data_partitioners import Pool
from data_partitioners.by_client import by_client
from data_partitioners.by_cluster import by_cluster
from data_partitioners.by_column import by_column
from data_partitioners.clustering import kl_divergences
from data_partitioners.compose import compose
from data_partitioners.grouped import grouped
from data_partitioners.sizes import sizes
from federated.config.run import RunConfig
from federated.extension_points.kinds import PARTITIONER
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput

OwnModule = Callable[[str], str]
WARDS = np.array(["a", "b", "c", "d", "e"])[np.repeat(np.arange(5), [8, 5, 3, 2, 2])]


def numbers(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(**config: Any) -> Federation:
    return partition_clients(RunConfig.model_validate({"rounds": 1, **config}))


@pytest.mark.parametrize(
    ("skew", "clients", "names", "counts"),
    [
        (grouped(), 2, ("a+b+c", "d+e"), [16, 4]),
        (grouped(group_size=2), None, ("a+b", "c+d", "e"), [13, 5, 2]),
        (grouped(order="balanced"), 2, ("a+d", "b+c+e"), [10, 10]),
        (grouped(order="balanced"), 5, ("a", "b", "c", "d", "e"), [8, 5, 3, 2, 2]),
        (grouped(group_size=4), None, ("0", "1"), [18, 2]),
    ],
)
def test_silos_are_whole_natural_clients(
    skew: Any, clients: int | None, names: tuple[str, ...], counts: list[int]
) -> None:
    partition = skew(Pool(20, client_ids=WARDS), clients, numbers())
    assert partition.names == names
    assert partition.sizes.tolist() == counts
    for ward in "abcde":
        assert sum(ward in WARDS[held] for held in partition.indices) == 1


def test_ids_are_told_apart_as_written_and_numbers_among_them_come_by_their_value() -> None:
    ids = np.array(["10", "2", "001", "1", "01", "north", "-3", "NA", str(2**64), str(2**64 + 1), "2.5"])
    names = ("-3", "001", "01", "1", "2", "2.5", "10", str(2**64), str(2**64 + 1), "NA", "north")
    for given in (ids, ids.astype(object)):
        pool = Pool(len(ids), client_ids=given)
        partition = by_client()(pool, None, numbers())
        assert partition.names == names
        assert [given[held].tolist() for held in partition.indices] == [[name] for name in names]
    some = Pool(2, client_ids=ids[:2], client_names=np.array(names))
    partition = by_client()(some, None, numbers())
    assert [len(held) for held in partition.indices] == [name in ("2", "10") for name in names]
    assert partition.indices[names.index("2")].tolist() == [1]
    silos = grouped(2)(Pool(4, client_ids=np.array(["2", "10", "1", "11"])), None, numbers())
    assert silos.names == ("1+2", "10+11")


def test_random_silos_put_any_two_natural_clients_together_as_often() -> None:
    together = np.zeros(4)
    for seed in range(600):
        partition = grouped(group_size=2, order="random")(Pool(20, client_ids=WARDS), None, numbers(seed))
        mate = next(name for name in partition.names if "a" in name).replace("a", "").strip("+")
        if mate:
            together["bcde".index(mate)] += 1
    assert stats.chisquare(together).pvalue > 1e-4


@pytest.mark.parametrize(
    ("skew", "clients", "message"),
    [
        (grouped(), 6, "6 silos are more than the 5 natural clients"),
        (grouped(group_size=2), 4, "5 natural clients in groups of 2 make 3"),
        (grouped(), None, "needs a number of clients, or a group_size"),
    ],
)
def test_impossible_silos(skew: Any, clients: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        skew(Pool(20, client_ids=WARDS), clients, numbers())


def heights(size: int = 400) -> tuple[Pool, np.ndarray]:
    values = np.random.default_rng(3).normal(170, 10, size)
    return Pool(size, column=lambda name: values), values


def test_bands_do_not_overlap_where_strictness_is_one() -> None:
    pool, values = heights()
    held = by_column("height")(pool, 5, numbers()).indices
    for low, high in pairwise(held):
        assert values[low].max() < values[high].min()
    assert {len(mine) for mine in held} == {80}


def test_strictness_correlates_bands_with_the_property_as_the_formula_says() -> None:
    """corr(z, s z + (1 - s) e) = s / sqrt(s^2 + (1 - s)^2), and ranks follow with 6/pi asin(r / 2)."""
    pool, values = heights(4000)
    for strictness in (0.0, 0.3, 0.7):
        partition = by_column("height", strictness)(pool, 4000, numbers(1))
        band = np.empty(4000)
        for client, held in enumerate(partition.indices):
            band[held] = client
        r = strictness / np.hypot(strictness, 1 - strictness)
        expected = 6 / np.pi * np.arcsin(r / 2)
        assert stats.spearmanr(values, band).statistic == pytest.approx(expected, abs=0.06)


def test_bands_take_stated_sizes_and_ties_fall_at_random() -> None:
    pool, values = heights()
    held = compose((sizes((10, 300, 50)), by_column("height")))(pool, 3, numbers()).indices
    assert [len(mine) for mine in held] == [10, 300, 50]
    assert sorted(values[held[0]]) == sorted(values)[:10]
    ages = np.repeat([1.0, 2.0], 50)
    first = [by_column("age")(Pool(100, column=lambda name: ages), 4, numbers(s)).indices[0] for s in (0, 1)]
    assert set(first[0]) != set(first[1])
    assert max(map(max, first)) < 50


def test_a_table_is_cut_by_a_column_that_is_no_feature(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": g.uniform(20, 90, 300), "bp": g.normal(size=300), "site": "x", "y": g.integers(2, size=300)}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "drop": ["age", "site"]}
    base = {"dataset": dataset, "model": "logistic", "clients": 3}
    federation = made(**base, partitioner="by_column(age)")
    assert federation.examples.inputs.shape == (300, 1)
    ages = frame.age.to_numpy()
    assert ages[federation.clients[0]].max() < ages[federation.clients[1]].min()
    for column, message in {
        "agee": "no column 'agee'; did you mean 'age'. the columns are: age, bp, site, y",
        "site": "numbers",
    }.items():
        with pytest.raises(BadInput, match=message):
            made(**base, partitioner=f"by_column({column})")


def test_a_regression_is_cut_by_its_target_and_arrays_by_a_feature(own: OwnModule) -> None:
    base = {"dataset": "linear(size=90)", "model": "linear", "clients": 3}
    by_target, by_feature = (
        made(**base, partitioner="by_column(target)"),
        made(**base, partitioner="by_column('0')"),
    )
    targets, inputs = by_target.examples.targets, by_target.examples.inputs[:, 0]
    assert targets[by_target.clients[0]].max() < targets[by_target.clients[1]].min()
    assert inputs[by_feature.clients[0]].max() < inputs[by_feature.clients[1]].min()
    with pytest.raises(BadInput, match=r"no column '1'; the columns of these arrays are: 0 \.\.\. 0"):
        made(**base, partitioner="by_column('1')")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, np.nan, 2.0]), "missing or infinite in 1 of 3"),
        (np.full(3, 7.0), "is 7 in every example"),
    ],
)
def test_properties_that_cannot_be_cut(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        by_column("x")(Pool(3, column=lambda name: values), 2, numbers())


def blobs(styles: int = 3, classes: int = 2, each: int = 40) -> tuple[Pool, np.ndarray, np.ndarray]:
    """Every class in every style, all of them well apart."""
    style = np.tile(np.repeat(np.arange(styles), each), classes)
    label = np.repeat(np.arange(classes), styles * each)
    centres = np.stack([20.0 * label, 40.0 * style, np.zeros(len(style))], axis=1)
    features = (centres + numbers(4).normal(size=centres.shape)).astype(np.float32)
    return Pool(len(style), label, features=lambda: features), style, label


@pytest.mark.parametrize("method", ["k_means", "gaussian_mixture"])
def test_clusters_of_the_features_are_the_clients(method: Any) -> None:
    pool, style, label = blobs()
    partition = by_cluster(method)(pool, 6, numbers())
    owners = np.empty(pool.size, int)
    for client, held in enumerate(partition.indices):
        owners[held] = client
    assert adjusted_rand_score(owners, style * 2 + label) == 1


@pytest.mark.parametrize("method", ["k_means", "gaussian_mixture"])
def test_within_classes_clients_have_a_style_and_every_class(method: Any) -> None:
    pool, style, label = blobs()
    for seed in range(3):
        partition = by_cluster(method, within_classes=True)(pool, 3, numbers(seed))
        for held in partition.indices:
            assert len(set(style[held])) == 1
            assert np.bincount(label[held]).tolist() == [40, 40]


def test_an_encoder_decides_what_is_alike(own: OwnModule) -> None:
    pool, style, _ = blobs()
    module = own(
        "def style_alone(inputs):\n    return inputs[:, 1:]\ndef words(inputs):\n    return ['a'] * len(inputs)\n"
    )
    owners = np.empty(pool.size, int)
    for client, held in enumerate(
        PARTITIONER.bind(f"by_cluster(encoder='{module}:style_alone')").build()(pool, 3, numbers()).indices
    ):
        owners[held] = client
    assert adjusted_rand_score(owners, style) == 1
    with pytest.raises(ValueError, match=r"must return numbers \[240, d\], got <U1 \[240\]"):
        PARTITIONER.bind(f"by_cluster(encoder='{module}:words')").build()(pool, 3, numbers())
    with pytest.raises(ValueError, match="has no attribute 'nothing'"):
        PARTITIONER.bind(f"by_cluster(encoder='{module}:nothing')").build()


def test_too_many_clusters_within_a_class_say_what_is_possible() -> None:
    with pytest.raises(ValueError, match="at most 120 clients are possible within classes"):
        by_cluster(within_classes=True)(blobs()[0], 121, numbers())


def test_the_divergence_of_gaussians_is_the_integral() -> None:
    """KL(N(0, 1) || N(1, 4)) by numerical integration, and zero from itself."""
    x = np.linspace(-12, 12, 200_001)
    p, q = stats.norm(0, 1), stats.norm(1, 2)
    integral = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    means, covariances = np.array([[0.0], [1.0]]), np.array([[[1.0]], [[4.0]]])
    found = kl_divergences(means, covariances, means, covariances)
    assert found[0, 1] == pytest.approx(integral, rel=1e-6)
    assert np.allclose(np.diag(found), 0)


def test_parkinsons_telemonitoring_by_subject(real_data: Path) -> None:
    """42 subjects of 101 to 168 recordings; silos and bands of a regression on the same file."""
    path = real_data / "parkinsons-telemonitoring" / "parkinsons_updrs.data.gz"
    dataset = {
        "name": "table",
        "path": str(path),
        "target": "total_UPDRS",
        "client": "subject#",
        "drop": ["motor_UPDRS"],
    }
    base = {"dataset": dataset, "model": "linear", "holdout": {"test": 0.01}}
    federation = made(**base, partitioner="by_client")
    assert len(federation.clients) == 42
    assert federation.sizes.sum() == 5875 - len(federation.test)
    assert 95 <= federation.sizes.min() < federation.sizes.max() <= 168
    silos = made(**base, partitioner="grouped(order=balanced)", clients=6)
    assert np.ptp(silos.sizes) < 60
    ages = made(**base, partitioner="by_column(age)", clients=4)
    assert np.ptp(ages.sizes) <= 1
    assert made(**base, partitioner="dirichlet(0.1)", clients=4).sizes.sum() == ages.sizes.sum()


NEWSGROUPS = (
    "import json, lzma\n"
    "import numpy as np\n"
    "def load(path):\n"
    "    with lzma.open(path, 'rt', encoding='utf-8') as lines:\n"
    "        found = {m['body']: m for m in map(json.loads, lines)}.values()\n"
    "    lengths = np.array([[len(m['body'])] for m in found], np.float32)\n"
    "    return lengths, [m['group'] for m in found], [str(m['author']) for m in found]\n"
)


def test_twenty_newsgroups_by_author(real_data: Path, own: OwnModule) -> None:
    path = real_data / "20newsgroups" / "messages.jsonl.xz"
    dataset = {"name": f"{own(NEWSGROUPS)}:load", "path": str(path)}
    federation = made(dataset=dataset, model="logistic", partitioner="by_client")
    assert 19_300 < len(federation.examples.targets) < 19_997  # a body that was posted twice counts once
    assert 8_000 < len(federation.clients) <= 8_586
    ids = federation.examples.client_ids
    assert ids is not None
    biggest = int(federation.sizes.argmax())
    assert set(ids[federation.clients[biggest]]) == {federation.names[biggest]}
    assert len(made(dataset=dataset, model="logistic", partitioner="grouped", clients=50).clients) == 50


ACTIVITY = (
    "import lzma\n"
    "import numpy as np\n"
    "def load(signals, index, width=128):\n"
    "    with lzma.open(signals) as file:\n"
    "        x = np.load(file)\n"
    "    known = np.load(index)\n"
    "    recording = known['subject'].astype(int) * 10_000 + known['execution'] * 10 + known['watch']\n"
    "    starts = np.arange(0, x.shape[1] - width, width)\n"
    "    whole = recording[starts] == recording[starts + width - 1]\n"
    "    starts = starts[whole & (known['y'][starts] == known['y'][starts + width - 1])]\n"
    "    windows = np.stack([x[:, s:s + width] for s in starts]).astype(np.float32)\n"
    "    return windows, known['y'][starts].astype(np.int64), known['subject'][starts].astype(np.int64)\n"
)


def test_phone_and_watch_activity_by_subject(real_data: Path, own: OwnModule) -> None:
    folder = real_data / "har-phone-watch"
    dataset = {
        "name": f"{own(ACTIVITY)}:load",
        "signals": str(folder / "signals_float32_6xN.npy.xz"),
        "index": str(folder / "index.npz"),
    }
    federation = made(dataset=dataset, model="logistic", partitioner=["by_client", "noise(0.5)"])
    assert federation.names == tuple(map(str, range(1, 24)))
    assert federation.sizes.min() > 20
    subjects = federation.examples.client_ids
    assert subjects is not None
    for name, held in zip(federation.names, federation.clients, strict=True):
        assert set(subjects[held]) == {int(name)}
