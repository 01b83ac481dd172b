"""Clusters beside the true groups of a partition, by the algorithm of a user, and in the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federated.federation.partition_files import save_partition
from federated.foundation.errors import OwnCodeFailed
from federated.report import RunResult
from federated.report.questions.clusters import clusters_text
from federated.rounds import train_rounds
from federated.run.clients.clusters import current_clusters, models_in
from federated.run.setup import initial_state
from tests.test_clusters import setup_of

OWN = """
import numpy as np
import torch
from federated.algorithms import Algorithm, Clusters
def odd_and_even():
    def update(state, parameters, heard):
        each = heard.of_clients
        means = torch.stack([each.updates[each.clusters == c].mean(dim=0) for c in (0, 1)])
        models = state["models"] + torch.nan_to_num(means)
        return {"models": models}, models.mean(dim=0)
    return Algorithm(
        init=lambda parameters: {"models": torch.stack([parameters, parameters])},
        update=update,
        clusters=Clusters(lambda state: state["models"], lambda state, clients: np.asarray(clients) % 2),
    )
def beyond():
    made = odd_and_even()
    return made._replace(clusters=Clusters(made.clusters.models, lambda state, clients: np.full(len(clients), 2)))
def flat():
    return odd_and_even()._replace(clusters=Clusters(lambda state: state["models"][0]))
"""


def test_an_algorithm_of_ones_own_may_have_clusters(own: Callable[[str], str]) -> None:
    name = own(OWN)
    setup = setup_of(algorithm=f"{name}:odd_and_even", rounds=1)
    state = train_rounds(initial_state(setup), setup, 1)
    assert current_clusters(state, setup).tolist() == [0, 1, 0, 1, 0, 1]
    assert not torch.equal(*models_in(state, setup))
    for factory, message in (("beyond", "a number below 2"), ("flat", r"must return models \[k, T\]")):
        with pytest.raises(OwnCodeFailed, match=message):
            setup_of(algorithm=f"{name}:{factory}")


# -- true groups


@pytest.mark.parametrize(
    ("partitioner", "clients", "expected"),
    [
        ("rotation", 6, [0, 1, 2, 3, 0, 1]),
        ("rotation(angles=[0, 180])", 4, [0, 1, 0, 1]),
        ("rotation(angles=[0])", 4, None),  # all alike
        ("rotation", 3, None),  # each alone
        ("rotation(up_to=20)", 6, None),
        ("iid", 4, None),
        ("rotation(angles=[0, 180]) + noise(0.1)", 4, [0, 1, 0, 1]),
        ("dirichlet(0.5) + rotation(angles=[0, 0, 180])", 6, [0, 0, 1, 0, 0, 1]),
    ],
)
def test_a_partition_knows_the_groups_that_its_transforms_make(
    partitioner: str, clients: int, expected: list[int] | None
) -> None:
    groups = setup_of(partitioner=partitioner, clients=clients).federation.groups
    assert (None if groups is None else groups.tolist()) == expected


def test_clients_with_one_renaming_are_a_group_and_those_without_another() -> None:
    whole = setup_of(partitioner="label_permutation(groups=2, share=0.6)", clients=10).federation.whole
    tables = whole.transforms[0].parameters[:-1]
    same = (tables[:, None] == tables[None]).all(axis=2)
    assert whole.groups is not None
    assert np.array_equal(whole.groups[:, None] == whole.groups[None], same)
    assert len(np.unique(whole.groups)) == 3


def test_groups_of_two_transforms_are_alike_in_both_and_unseen_clients_are_left_out(tmp_path: Path) -> None:
    changes = {"clients": 7, "holdout": {"client": 0.2, "unseen_clients": ["3"]}}
    both = "rotation(angles=[0, 180]) + label_permutation(groups=1, share=0.5)"
    federation = setup_of(partitioner=both, **changes).federation
    whole, taking_part = federation.whole, [0, 1, 2, 4, 5, 6, 7]
    renames = (whole.transforms[1].parameters[:-1] != np.arange(10)).any(axis=1)
    pairs = [(client % 2, bool(renames[client])) for client in range(8)]
    assert whole.groups is not None
    assert federation.groups is not None
    for one, other in itertools.combinations(range(8), 2):
        assert (whole.groups[one] == whole.groups[other]) is np.bool_(pairs[one] == pairs[other])
    assert federation.groups.tolist() == whole.groups[taking_part].tolist()
    save_partition(tmp_path / "saved.npz", federation)
    with np.load(tmp_path / "saved.npz") as saved:
        assert saved["groups"].tolist() == whole.groups.tolist()


def test_groups_of_ones_own_are_checked(own: Callable[[str], str]) -> None:
    source = """
import numpy as np
from data_partitioners import Partition
def deal(pool, num_clients, generator):
    return Partition(tuple(np.array_split(np.arange(pool.size), 6)), tuple("abcdef"), groups=np.zeros(2, int))
"""
    with pytest.raises(OwnCodeFailed, match="the group of each of its 6 clients as a whole number"):
        setup_of(partitioner=f"{own(source)}:deal")


# -- the report


def result(arm: str, seed: int, clients: dict[str, list[Any]], agreement_: float | None) -> RunResult:
    metrics = {} if agreement_ is None else {"train/cluster_agreement": agreement_}
    return RunResult(
        "s", arm, seed, "FINISHED", {}, ((4, metrics),), "generalisation/test_accuracy", clients=clients
    )


def test_the_report_shows_the_clients_of_each_group_in_each_cluster() -> None:
    first = {"client": list("abcde"), "group": [0, 1, 0, 1, None], "cluster": [0, 2, 0, 0, None]}
    other = {"client": list("ab"), "cluster": [0, 0]}
    results = [
        result("ifca(3)", 1, {**first, "cluster": [1, 1, 1, 1, None]}, 0.0),
        result("ifca(3)", 0, first, 0.5),
        result("fedavg", 0, {"client": list("ab")}, None),
        result("cfl", 0, other, None),
    ]
    table = clusters_text(results)
    assert table is not None
    assert table.columns == [
        "arm", "true group", "clients", "cluster 0", "cluster 1", "cluster 2", "agreement"
    ]  # fmt: skip
    assert table.rows == [
        ["ifca(3)", "0", "2", "2", "0", "0", "0.25"],
        ["ifca(3)", "1", "2", "1", "0", "1", ""],
        ["cfl", "not known", "2", "2", "0", "0", "–"],
    ]
    assert clusters_text(results[2:3]) is None
