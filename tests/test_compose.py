"""Several skews in one: which go together, in which order, and how a study file says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_partitioners import Partition, Pool
from data_partitioners.compose import compose
from data_partitioners.dirichlet import dirichlet
from data_partitioners.noise import noise
from data_partitioners.quantity_dirichlet import quantity_dirichlet
from data_partitioners.sizes import sizes
from data_partitioners.target_heterogeneity import target_heterogeneity
from federated.config.fields.dotted_paths import value_at
from federated.config.run import RunConfig
from federated.extension_points.kinds import PARTITIONER
from federated.federation.federation import partition_clients
from federated.federation.fingerprint import heterogeneity_metrics
from federated.study.study import StudyConfig

SPEC = ["quantity_dirichlet(0.5)", "dirichlet(0.1)", "noise(0.1)"]
BASE: dict[str, Any] = {"dataset": "digits", "model": "logistic", "rounds": 1, "clients": 6}
POOL = Pool(300, np.arange(300) % 6)


@pytest.mark.parametrize(
    "form",
    [
        "compose([quantity_dirichlet(0.5), dirichlet(0.1), noise(0.1)])",
        "quantity_dirichlet(0.5) + dirichlet(0.1)+noise(1e-1)",
        {"name": "compose", "parts": SPEC},
        {"name": "compose", "parts": [SPEC[0], {"name": "dirichlet", "alpha": 0.1}, "noise(level=0.1)"]},
    ],
)
def test_every_form_of_a_composition_is_the_same(form: Any) -> None:
    choice = PARTITIONER.bind(SPEC)
    assert PARTITIONER.bind(form) == choice
    assert PARTITIONER.bind(choice.label()) == choice == PARTITIONER.bind(choice.model_dump())
    assert choice.label() == "quantity_dirichlet(alpha=0.5) + dirichlet(alpha=0.1) + noise(level=0.1)"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "parts must be at least one partitioner"),
        (
            ["dirichlet(0.1)", "sizes(linear)"],
            "sizes decides how many .* before dirichlet, which decides which",
        ),
        (["noise(0.1)", "iid"], "iid decides which .* before noise, which decides what happens"),
        (["iid", "shards"], "both iid and shards decide which examples"),
        (["sizes(linear)", "quantity_dirichlet(1)"], "both sizes and quantity_dirichlet decide how many"),
        (
            ["sizes(linear)", "by_client"],
            "by_client decides by itself how many .* so sizes cannot go before it",
        ),
        (["sizes(linear)", "classes_per_client(2)"], "classes_per_client decides by itself how many"),
        (["iid", "nois(0.1)"], "no partitioner 'nois'; did you mean 'noise'"),
        (["dirichlet(0.1", "min_size=3)"], r"a call with commas inside a list \[...\] needs quotes"),
        ("iid", "compose.parts: must be a list of partitioners, got 'iid'"),
    ],
)
def test_what_does_not_go_together_is_refused_when_the_config_is_read(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig.model_validate({**BASE, "partitioner": {"name": "compose", "parts": parts}})


def test_sizes_are_those_of_the_first_part_alone() -> None:
    alone = quantity_dirichlet(0.5)(POOL, 6, np.random.default_rng(3)).sizes
    both = compose((quantity_dirichlet(0.5), dirichlet(0.1)))(POOL, 6, np.random.default_rng(3))
    assert both.sizes.tolist() == alone.tolist()
    assert sorted(np.concatenate(list(both.indices)).tolist()) == list(range(300))


def test_changes_alone_leave_a_random_sample_of_equal_size_to_each() -> None:
    partition = noise(0.1)(POOL, 7, np.random.default_rng(0))
    assert sorted(partition.sizes.tolist()) == [42, 43, 43, 43, 43, 43, 43]
    assert len(partition.transforms) == 1


def test_compositions_nest() -> None:
    flat = compose((sizes("linear"), dirichlet(1.0), noise(0.1)))
    nested = compose((compose((sizes("linear"), dirichlet(1.0))), noise(0.1)))
    drawn = [skew(POOL, 5, np.random.default_rng(1)).digest() for skew in (flat, nested)]
    assert drawn[0] == drawn[1]


def test_a_partitioner_of_the_users_own_can_be_composed(own: Any) -> None:
    module = own(
        "import numpy as np\n"
        "from data_partitioners import Partition\n"
        "def halves(pool, num_clients, generator):\n"
        "    return Partition((np.arange(0, pool.size, 2), np.arange(1, pool.size, 2)), ('even', 'odd'))\n"
        "def lists(pool, num_clients, generator):\n    return [[0], [1]]\n"
    )
    base = {**BASE, "clients": 2}
    federation = partition_clients(RunConfig(**base, partitioner=[f"{module}:halves", "noise(0.5)"]))
    assert federation.names == ("even", "odd")
    assert federation.changes is not None
    assert heterogeneity_metrics(federation)["heterogeneity/left_out_examples"] == 0
    with pytest.raises(ValueError, match="lists must return a Partition to be composed, got list"):
        partition_clients(RunConfig(**base, partitioner=[f"{module}:lists", "noise(0.5)"]))
    with pytest.raises(ValueError, match="halves decides by itself how many"):
        partition_clients(RunConfig(**base, partitioner=["sizes(linear)", f"{module}:halves"]))


def test_an_aim_stays_what_it_is_when_a_part_is_added() -> None:
    """It makes partitions with parts of their own inside, here sizes, and is itself no `Skew`."""
    pool = Pool(3000, np.repeat(np.arange(10), 300))
    aim = target_heterogeneity(0.5, "size_gini", "quantity_dirichlet")
    alone, composed, noisy = (
        partitioner(pool, 20, np.random.default_rng(3))
        for partitioner in (aim, compose((aim,)), compose((aim, noise(0.1))))
    )
    assert alone.digest() == composed.digest() == noisy._replace(transforms=()).digest()
    assert alone.notes == noisy.notes
    assert len(noisy.transforms) == 1


def test_an_axis_can_vary_an_argument_of_one_part() -> None:
    study = StudyConfig.model_validate(
        {
            "name": "composed",
            "base": {**BASE, "partitioner": SPEC},
            "axes": {
                "partitioner.parts.dirichlet.alpha": [0.1, 1.0],
                "partitioner.parts.noise.level": [0, 0.3],
            },
        }
    )
    runs = study.runs()
    assert [run.arm for run in runs] == [
        "alpha=0.1 · level=0.0",
        "alpha=0.1 · level=0.3",
        "alpha=1.0 · level=0.0",
        "alpha=1.0 · level=0.3",
    ]
    assert value_at(runs[3].config, "partitioner.parts.noise.level") == 0.3
    assert value_at(runs[3].config, "partitioner.parts.quantity_dirichlet.alpha") == 0.5


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("partitioner.parts.shards.bins", "'shards' is not in the list quantity_dirichlet, dirichlet, noise"),
        ("partitioner.parts.noise", "name an argument of noise"),
        ("partitioner.parts.noise.colour", "there is no argument 'colour'"),
    ],
)
def test_paths_into_a_composition_that_lead_nowhere(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudyConfig.model_validate(
            {"name": "x", "base": {**BASE, "partitioner": SPEC}, "axes": {path: [1, 2]}}
        )


def test_flat_names_the_parts_and_their_arguments() -> None:
    flat = RunConfig(**BASE, partitioner=SPEC).flat()
    assert flat["partitioner"] == "compose"
    assert flat["partitioner.parts"] == ["quantity_dirichlet", "dirichlet", "noise"]
    assert flat["partitioner.parts.noise.level"] == 0.1
    assert flat["partitioner.parts.dirichlet.alpha"] == 0.1


def test_what_was_done_for_a_minimum_size_and_left_out_is_recorded() -> None:
    filled = partition_clients(RunConfig(**BASE, partitioner="dirichlet(0.05, min_size=200)"))
    free = partition_clients(RunConfig(**BASE, partitioner="dirichlet(0.05)"))
    moved = heterogeneity_metrics(filled)["heterogeneity/moved_examples"]
    assert moved == np.maximum(200 - free.sizes, 0).sum() > 0
    some = partition_clients(RunConfig(**BASE, partitioner="sizes([10, 20, 30, 1, 2, 3])"))
    assert heterogeneity_metrics(some)["heterogeneity/left_out_examples"] == 1437 - 66


def test_a_million_clients_are_two_arrays() -> None:
    """What `Slices` promises: looked up, cut, iterated and counted like a tuple of arrays."""
    partition = compose((sizes((2, 0, 3)),))(Pool(5), 3, np.random.default_rng(0))
    arrays = list(partition.indices)
    assert [len(held) for held in arrays] == [2, 0, 3] == partition.sizes.tolist()
    assert all(np.array_equal(partition.indices[k], arrays[k]) for k in range(3))
    assert np.array_equal(partition.indices[-1], arrays[2])
    assert [len(held) for held in partition.indices[1:]] == [0, 3]
    assert partition.digest() == Partition(tuple(arrays), partition.names).digest()
    with pytest.raises(IndexError):
        partition.indices[3]
