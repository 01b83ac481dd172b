"""Who holds what: held-out first, nothing lost, nothing twice, and the same for arms that share a seed."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from federated.config.run import RunConfig
from federated.federation.federation import Federation, partition_clients
from federated.federation.partition_files import partition_npz
from federated.foundation.errors import BadInput

DIGITS: dict[str, Any] = {"dataset": "digits", "model": "logistic", "rounds": 1, "clients": 6}
LINEAR: dict[str, Any] = {"dataset": "linear(size=90)", "model": "linear", "rounds": 1, "clients": 6}

OwnModule = Callable[[str], str]


def made(base: dict[str, Any], **changes: Any) -> Federation:
    return partition_clients(RunConfig.model_validate({**base, **changes}))


def parts(federation: Federation) -> dict[str, np.ndarray]:
    return {
        "test": federation.test,
        **{f"client {k}": held for k, held in enumerate(federation.clients)},
        **{f"own {k}": held for k, held in enumerate(federation.own_held_out)},
        **{f"validation {k}": held for k, held in enumerate(federation.own_validation)},
        **{f"tuning {k}": held for k, held in enumerate(federation.own_tuning)},
        **{f"tuning client {k}": held for k, held in enumerate(federation.tuning_clients)},
        **{f"unseen {k}": held for k, held in enumerate(federation.unseen)},
    }


PARTITIONERS = ("iid", "dirichlet(0.1)", "dirichlet(5, min_size=2)")
HOLDOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"test": 0.5},
    {"client": 0.3},
    {"unseen_clients": 2},
    {"test": 0.1, "client": 0.5, "unseen_clients": 5},
    {"client": 0.3, "unseen_clients": ["3", "0"], "validation": 0.4},
    {"client": 0.3, "unseen_clients": 2, "tuning": 0.4, "tuning_clients": 1},
)


@pytest.mark.parametrize("holdout", HOLDOUTS, ids=str)
@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_training_and_held_out_examples_are_disjoint_and_cover_everything(
    partitioner: str, holdout: dict[str, Any]
) -> None:
    for seed in (0, 1):
        federation = made(DIGITS, partitioner=partitioner, holdout=holdout, seed=seed)
        everything = np.concatenate(list(parts(federation).values()))
        assert sorted(everything.tolist()) == list(range(1797))
        assert len(federation.clients) == len(federation.names) == len(federation.own_held_out) == 6
        assert len(federation.unseen) == RunConfig(**DIGITS, holdout=holdout).holdout.num_unseen
        assert all(indices.dtype == np.int64 for indices in parts(federation).values())


@pytest.mark.parametrize("holdout", HOLDOUTS, ids=str)
def test_a_regression_is_disjoint_and_covered_too(holdout: dict[str, Any]) -> None:
    federation = made(LINEAR, holdout=holdout)
    assert sorted(np.concatenate(list(parts(federation).values())).tolist()) == list(range(90))
    assert len(federation.test) == round(90 * holdout.get("test", 0.2))


def test_the_central_test_set_depends_on_the_seed_and_its_share_alone() -> None:
    base = made(DIGITS).test
    for changes in (
        {"partitioner": "dirichlet(0.1)"},
        {"clients": 30},
        {"holdout": {"client": 0.2, "unseen_clients": 3}},
        {"model": "mlp([4])"},
        {"local": {"learning_rate": 0.5}},
    ):
        assert np.array_equal(made(DIGITS, **changes).test, base)
    assert not np.array_equal(made(DIGITS, seed=1).test, base)
    assert np.array_equal(made(DIGITS, holdout={"test": 0.2}).test, base)


def test_more_held_out_shares_do_not_change_who_is_unseen_or_what_a_client_was_dealt() -> None:
    without = made(DIGITS, holdout={"unseen_clients": 2})
    with_own = made(DIGITS, holdout={"unseen_clients": 2, "client": 0.25})
    assert without.names == with_own.names
    assert all(np.array_equal(a, b) for a, b in zip(without.unseen, with_own.unseen, strict=True))
    for dealt, left, own_share in zip(without.clients, with_own.clients, with_own.own_held_out, strict=True):
        assert np.array_equal(np.sort(dealt), np.sort(np.concatenate([left, own_share])))


def test_arms_that_share_a_seed_leave_out_the_same_clients() -> None:
    names = {made(DIGITS, partitioner=p, holdout={"unseen_clients": 2}).names for p in PARTITIONERS}
    assert len(names) == 1
    others = {made(DIGITS, seed=seed, holdout={"unseen_clients": 2}).names for seed in range(8)}
    assert len(others) > 1


def test_the_central_test_set_holds_every_class_in_its_proportion() -> None:
    federation = made(DIGITS, holdout={"test": 0.25})
    targets = federation.examples.targets
    expected = np.bincount(targets) * 0.25
    assert np.all(np.abs(np.bincount(targets[federation.test]) - expected) <= 1)
    assert len(federation.test) == 450  # a quarter of 1,797, rounded up


@pytest.mark.slow
def test_a_test_set_is_a_fair_sample() -> None:
    """Over seeds, every example is about as likely to be held out as any other."""
    chosen = np.zeros(90)
    for seed in range(200):
        chosen[made(LINEAR, seed=seed).test] += 1
    assert np.all(np.abs(chosen / 200 - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 200))


def test_the_partitioner_sees_the_pool_and_nothing_of_the_test_set(own: OwnModule) -> None:
    module = own(
        "seen = []\n"
        "def watch(pool, num_clients, generator):\n"
        "    seen.append(pool)\n"
        "    return [range(k, pool.size, num_clients) for k in range(num_clients)]\n"
    )
    federation = made(DIGITS, partitioner=f"{module}:watch", holdout={"unseen_clients": 2})
    pool, _ = __import__(module).seen  # called twice, to see whether it deals alike
    left = np.setdiff1d(np.arange(1797), federation.test)
    assert pool.size == len(left)
    assert np.array_equal(pool.labels, federation.examples.targets[left])
    assert pool.client_ids is None
    assert len(federation.clients) + len(federation.unseen) == 8


def test_unseen_clients_come_on_top_and_their_examples_are_never_trained_on() -> None:
    federation = made(DIGITS, clients=6, holdout={"unseen_clients": 4})
    assert len(federation.clients) == 6
    assert len(federation.unseen) == 4
    assert not np.intersect1d(federation.training, np.concatenate(federation.unseen)).size
    assert set(federation.names) < set(map(str, range(10)))


@pytest.mark.parametrize(
    ("share", "sizes"), [(0.5, [(1, 0), (1, 1), (1, 2), (2, 2)]), (0.99, [(1, 0), (1, 1), (1, 2), (1, 3)])]
)
def test_a_clients_own_share_leaves_at_least_one_example_to_train_on(
    own: OwnModule, share: float, sizes: list[tuple[int, int]]
) -> None:
    """Clients of 1, 2, 3 and 4 examples and one that holds nothing: (training, own) each."""
    module = own(
        "def steps(pool, num_clients, generator):\n    return [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9], []]\n"
    )
    federation = made(
        {**LINEAR, "dataset": "linear(size=13)", "clients": 5},
        partitioner=f"{module}:steps",
        holdout={"client": share},
    )
    found = list(zip(map(len, federation.clients), map(len, federation.own_held_out), strict=True))
    assert found == [*sizes, (0, 0)]


def test_own_shares_are_drawn_anew_for_each_client(own: OwnModule) -> None:
    module = own(
        "def thirds(pool, num_clients, generator):\n    return [range(k, k + 100) for k in (0, 100, 200)]\n"
    )
    base = {**LINEAR, "dataset": "linear(size=375)", "clients": 3}
    federation = made(base, partitioner=f"{module}:thirds", holdout={"client": 0.5})
    places = [
        np.isin(np.sort(np.concatenate([left, own_share])), own_share).tolist()
        for left, own_share in zip(federation.clients, federation.own_held_out, strict=True)
    ]
    assert all(sum(place) == 50 for place in places)
    assert len(set(map(tuple, places))) == 3


def test_natural_clients_keep_their_examples_and_unseen_ones_are_whole(own: OwnModule) -> None:
    module = own(
        "def load():\n"
        "    sites = [site for site in ('n', 'e', 's', 'w') for _ in range(20)]\n"
        "    return [[float(i)] for i in range(80)], [0.5 * i for i in range(80)], sites\n"
    )
    federation = made(
        {**LINEAR, "dataset": f"{module}:load", "clients": None},
        partitioner="by_client",
        holdout={"unseen_clients": 1},
    )
    sites = np.repeat(["n", "e", "s", "w"], 20)
    for name, held in zip(federation.names, federation.clients, strict=True):
        assert set(sites[held]) == {name}
    (unseen,) = federation.unseen
    assert len({*sites[unseen], *federation.names}) == 4
    left = np.setdiff1d(np.flatnonzero(sites == sites[unseen[0]]), federation.test)
    assert np.array_equal(unseen, left)


SPLIT = (
    "import numpy as np\n"
    "def load():\n"
    "    test = np.arange(40) % 4 == 0\n"
    "    return {'inputs': np.arange(40.0)[:, None], 'targets': ['a', 'b'] * 20, 'test': test}\n"
)


def test_a_data_sets_own_test_split_is_taken_unless_a_share_is_stated(own: OwnModule) -> None:
    base = {**DIGITS, "dataset": f"{own(SPLIT.replace('% 4 == 0', '% 5 == 0'))}:load", "clients": 3}
    for seed in (0, 1):
        assert made(base, seed=seed).test.tolist() == list(range(0, 40, 5))
    stated = made(base, holdout={"test": 0.5})
    assert len(stated.test) == 20
    assert stated.test.tolist() != list(range(0, 40, 2))


@pytest.mark.parametrize("partitioner", ["iid", "dirichlet(1)"])
def test_another_seed_is_another_partition_even_of_the_same_pool(own: OwnModule, partitioner: str) -> None:
    base = {**DIGITS, "dataset": f"{own(SPLIT)}:load", "clients": 3, "partitioner": partitioner}
    first, second = made(base, seed=0), made(base, seed=1)
    assert np.array_equal(first.test, second.test)
    assert any(not np.array_equal(a, b) for a, b in zip(first.clients, second.clients, strict=True))


def test_a_class_whose_examples_are_all_in_the_own_test_split_is_refused(own: OwnModule) -> None:
    module = own(SPLIT.replace("['a', 'b'] * 20", "[*('rare', 'b', 'b', 'b') * 10]"))
    with pytest.raises(BadInput, match="dataset: the class 'rare' has no training examples"):
        made({**DIGITS, "dataset": f"{module}:load", "clients": 3})


def test_a_class_with_one_example_is_refused(own: OwnModule) -> None:
    module = own("def load():\n    return [[float(i)] for i in range(21)], ['a', 'b'] * 10 + ['lonely']\n")
    with pytest.raises(BadInput, match="dataset: the class 'lonely' has 1 example; at least 2 are needed"):
        made({**DIGITS, "dataset": f"{module}:load", "clients": 3})


@pytest.mark.parametrize(
    ("base", "changes", "message"),
    [
        (DIGITS, {"holdout": {"test": 0.001}}, "holdout.test: 0.001 of 1797 examples: "),
        (DIGITS, {"holdout": {"test": 0.999}}, "holdout.test: 0.999 of 1797 examples: "),
        (DIGITS, {"clients": 2000}, "clients: 2000 clients are more than the 1437 training examples"),
        (DIGITS, {"clients": 1400, "holdout": {"unseen_clients": 38}}, "clients: 1438 clients are more than"),
        (DIGITS, {"clients": None}, "clients: iid needs a number of clients"),
        (DIGITS, {"partitioner": "by_client"}, "by_client needs a data set with client ids"),
        (DIGITS, {"partitioner": "dirichlet(1, min_size=500)"}, "at most 239 is possible"),
        (
            LINEAR,
            {"partitioner": "label_noise(0.1)"},
            "label_noise needs class labels; the data set is a regression",
        ),
        (
            LINEAR,
            {"dataset": "linear(size=2)", "clients": 2},
            "clients: 2 clients are more than the 1 training",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_the_data_is_bad_input(
    base: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as error:
        made(base, **changes)
    assert message in str(error.value)


SITES = (
    "def load():\n    return [[float(i)] for i in range(80)], [0.5 * i for i in range(80)], "
    "['north', 'east', 'south', 'west'] * 20\n"
)


def test_unseen_clients_are_those_that_are_named_and_keep_their_names(own: OwnModule) -> None:
    base = {**LINEAR, "dataset": f"{own(SITES)}:load", "clients": None, "partitioner": "by_client"}
    federation = made(base, holdout={"client": 0.2, "unseen_clients": ["west", "east"]})
    assert (federation.names, federation.unseen_names) == (("north", "south"), ("east", "west"))
    for held, first in zip(federation.unseen, (1, 3), strict=True):  # every fourth row is of one site
        assert len(held)
        assert set(held % 4) == {first}
    with np.load(io.BytesIO(partition_npz(federation))) as file:
        assert file["unseen_names"].tolist() == ["east", "west"]
        assert sorted(file["unseen_example"] % 4) == sorted(
            [1] * len(federation.unseen[0]) + [3] * len(federation.unseen[1])
        )
    drawn = made(base, holdout={"unseen_clients": 1})
    assert {*drawn.names, *drawn.unseen_names} == {"north", "east", "south", "west"}
    (chosen,) = drawn.unseen
    assert {"north": 0, "east": 1, "south": 2, "west": 3}[drawn.unseen_names[0]] == chosen[0] % 4


def test_an_unseen_client_that_is_not_there_is_one_error_with_what_was_meant(own: OwnModule) -> None:
    base = {**LINEAR, "dataset": f"{own(SITES)}:load", "clients": None, "partitioner": "by_client"}
    with pytest.raises(BadInput) as error:
        made(base, holdout={"unseen_clients": ["nort", "atlantis"]})
    assert str(error.value) == (
        "holdout.unseen_clients: there is no client 'nort'; did you mean 'north'? the 4 clients are: east, north, "
        "south, west"
    )


def test_validation_comes_out_of_the_training_examples_alone() -> None:
    without = made(DIGITS, holdout={"client": 0.25, "unseen_clients": 2})
    with_some = made(DIGITS, holdout={"client": 0.25, "unseen_clients": 2, "validation": 0.2})
    assert not any(map(len, without.own_validation))
    assert without.partition_digest != with_some.partition_digest
    for part in ("test", "own_held_out", "unseen"):
        for one, other in zip(getattr(without, part), getattr(with_some, part), strict=True):
            assert np.array_equal(one, other)
    for before, left, validation in zip(
        without.clients, with_some.clients, with_some.own_validation, strict=True
    ):
        assert len(validation) == round(0.2 * len(before))
        assert np.array_equal(np.sort(before), np.sort(np.concatenate([left, validation])))


@pytest.mark.parametrize("unseen", [4, 5])
def test_leaving_no_client_to_train_is_refused(own: OwnModule, unseen: int) -> None:
    module = own(
        "def load():\n    return [[float(i)] for i in range(80)], [0.5 * i for i in range(80)], list('nesw') * 20\n"
    )
    base = {**LINEAR, "dataset": f"{module}:load", "clients": None, "partitioner": "by_client"}
    with pytest.raises(BadInput, match=f"holdout.unseen_clients: {unseen} of 4 clients leaves none to train"):
        made(base, holdout={"unseen_clients": unseen})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [[0], [0]]", "hands out example 0 more than once"),
        ("return [[0], [pool.size]]", "hands out an example outside 0 ... 71"),
        ("return [[0], [1], [2]]", "clients: 2 were asked for (unseen included), wrong made 3"),
        ("return 5", "must return a Partition or one array of indices"),
        ("return pool.labels[0]", "'NoneType' object is not subscriptable"),
        ("raise ValueError('no luck')", "no luck"),
    ],
)
def test_what_an_own_partitioner_does_wrong_is_bad_input(own: OwnModule, body: str, message: str) -> None:
    module = own(f"def wrong(pool, num_clients, generator):\n    {body}\n")
    with pytest.raises(BadInput) as error:
        made(LINEAR, clients=2, partitioner=f"{module}:wrong")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "body", ["raise OSError('no disk')", "raise KeyError('no disk')", "return 'no disk'"]
)
def test_a_data_set_that_cannot_be_loaded_is_bad_input(own: OwnModule, body: str) -> None:
    module = own(f"def load():\n    {body}\n")
    with pytest.raises(BadInput, match=r"^dataset: (own_\w+:)?load .*(no disk|a str)"):
        made({**LINEAR, "dataset": f"{module}:load"})


def test_preprocessing_is_fitted_on_training_examples_alone(own: OwnModule) -> None:
    module = own(
        "import numpy as np\n"
        "from federated.datasets import Examples\n"
        "fitted = []\n"
        "def load():\n"
        "    raw = np.arange(80.0)[:, None]\n"
        "    def fit(training):\n"
        "        fitted.append(training.copy())\n"
        "        return ((raw - raw[training].mean()) / raw[training].std()).astype(np.float32)\n"
        "    return Examples('raw', raw, np.arange(80, dtype=np.float32), None, fit=fit)\n"
    )
    federation = made(
        {**LINEAR, "dataset": f"{module}:load"},
        holdout={"client": 0.3, "unseen_clients": 2, "validation": 0.2},
    )
    (training,) = __import__(module).fitted
    shares = (*federation.own_held_out, *federation.own_validation)
    held_out = np.concatenate([federation.test, *shares, *federation.unseen])
    assert np.array_equal(np.sort(training), np.setdiff1d(np.arange(80), held_out))
    inputs = federation.examples.inputs
    assert inputs[federation.training].mean() == pytest.approx(0, abs=1e-6)
    assert inputs[federation.training].std() == pytest.approx(1)
    assert federation.examples.fit is None


def test_held_out_sets_that_are_empty_are_left_out() -> None:
    assert set(made(DIGITS).held_out_sets()) == {"test"}
    federation = made(DIGITS, holdout={"client": 0.2, "unseen_clients": 2})
    sets = federation.held_out_sets()
    assert set(sets) == {"test", "client", "unseen"}
    assert sorted(sets["client"].tolist()) == sorted(np.concatenate(federation.own_held_out).tolist())
    assert sorted(sets["unseen"].tolist()) == sorted(np.concatenate(federation.unseen).tolist())
