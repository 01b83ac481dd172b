"""Examples that occur more than once: counted across a split, and kept on one side where that is asked for."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from federated.config.run import RunConfig
from federated.examples.duplicates import copies_among, first_copies, own_copies_together
from federated.examples.examples import Examples
from federated.examples.hashing import hashes_of
from federated.federation.federation import Federation, check_apart, partition_clients
from federated.federation.fingerprint import heterogeneity_metrics
from federated.forecast import cautions
from federated.run.setup import prepare


def examples_of(inputs: Any) -> Examples:
    fit = np.asarray if isinstance(inputs, pd.DataFrame) else None
    return Examples("x", inputs, np.arange(len(inputs)) % 2, ("a", "b"), fit=fit)


@pytest.mark.parametrize(
    "inputs",
    [
        np.array([[1, 2], [3, 4], [1, 2], [1, 3], [3, 4], [1, 2]], np.float32),
        np.array([[1, 2], [3, 4], [1, 2], [1, 3], [3, 4], [1, 2]], np.uint8),
        np.array([[1, 2], [3, 4], [1, 2], [1, 3], [3, 4], [1, 2]], np.int64),
        pd.DataFrame({"x": [1.0, 3, 1, 1, 3, 1], "y": ["b", "d", "b", "c", "d", "b"]}),
    ],
    ids=["float32", "uint8", "int64", "table"],
)
def test_contents_are_equal_where_inputs_are(inputs: Any) -> None:
    contents = examples_of(inputs).contents
    assert (contents[:, None] == contents[None]).tolist() == [
        [a == b for b in (0, 1, 0, 2, 1, 0)] for a in (0, 1, 0, 2, 1, 0)
    ]
    assert sorted(set(contents.tolist())) == [0, 1, 2]


def test_minus_zero_is_zero() -> None:
    assert len(set(examples_of(np.array([[0.0], [-0.0]], np.float32)).contents)) == 1


def test_counts_and_first_copies_by_hand() -> None:
    contents = np.array([5, 7, 5, 9, 7, 5])
    assert copies_among(contents, np.array([0, 3]), np.array([2, 4])) == 1
    assert copies_among(contents, np.array([0, 1, 5]), np.array([2, 4])) == 3
    assert first_copies(contents).tolist() == [0, 1, 0, 3, 1, 0]


def test_own_copies_go_where_the_first_is_each_at_its_own_client() -> None:
    """0, 2 and 5 are alike, and so are 1 and 4. 0 is held out by the first client, 1 trained on."""
    contents = np.array([0, 1, 0, 2, 1, 0])
    kept = [(np.array([1, 2]), np.array([0])), (np.array([3, 5]), np.array([4]))]
    together = own_copies_together(kept, contents)
    assert [[part.tolist() for part in pair] for pair in together] == [[[1], [0, 2]], [[3, 4], [5]]]
    assert own_copies_together([(np.array([0, 1]), np.array([2]))], np.zeros(3, int))[0][0].tolist() == [
        0,
        1,
        2,
    ]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.integers(0, 6), min_size=12, max_size=40), st.integers(0, 3))
def test_kept_together_no_copy_is_on_both_sides(values: list[int], seed: int) -> None:
    """Whatever the clients hold; and each has something to train on."""
    numbers, contents = np.random.default_rng(seed), np.array(values)
    held = np.array_split(numbers.permutation(len(values)), 3)
    kept = [(np.sort(part[1:]), np.sort(part[:1])) for part in held]
    together = own_copies_together(kept, contents)
    for before, (training, own) in zip(kept, together, strict=True):
        assert np.array_equal(np.sort(np.concatenate([training, own])), np.sort(np.concatenate(before)))
        assert len(training)
    trained_on, held_out = ({values[e] for pair in together for e in pair[side]} for side in (0, 1))
    assert not trained_on & held_out


def test_what_one_client_must_train_on_is_held_out_by_none() -> None:
    """Patients 3 and 5: the first client holds out 3, all that the second has; the third holds out 5 alone."""
    patients = np.array([3, 5, 3, 3, 5, 7, 9])
    kept = [(np.array([1, 6]), np.array([0])), (np.array([2]), np.array([3])), (np.array([5]), np.array([4]))]
    together = own_copies_together(kept, patients, any_held=True)
    assert [[part.tolist() for part in pair] for pair in together] == [
        [[6, 0], [1]],
        [[3, 2], []],
        [[5], [4]],
    ]


def test_a_group_at_two_sites_is_on_one_side_though_one_of_them_has_no_other(tmp_path: Path) -> None:
    """Patient 3 is all that site B has. Among these seeds are some in which site A would hold that patient out."""
    rows = [("A", patient, visit) for patient in range(10) for visit in range(6)] + [
        ("B", 3, visit) for visit in range(6)
    ]
    table = pd.DataFrame(rows, columns=["site", "patient", "x"]).assign(y=lambda t: np.arange(len(t)) % 2)
    table.to_csv(tmp_path / "patients.csv", index=False)
    dataset = {
        "name": "table", "path": str(tmp_path / "patients.csv"), "target": "y", "client": "site", "drop": ["patient"],
    }  # fmt: skip
    for seed in range(12):
        holdout = {"by": "groups(patient)", "test": 0.1, "client": 0.3, "validation": 0.3}
        base = {
            "dataset": dataset,
            "partitioner": "by_client",
            "model": "logistic",
            "rounds": 1,
            "seed": seed,
        }
        federation = partition_clients(RunConfig.model_validate({**base, "holdout": holdout}))
        assert federation.examples.properties is not None
        patient = federation.examples.properties["patient"].to_numpy()
        sets = [{*patient[held]} for held in (federation.training, *federation.held_out_sets().values())]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 10, seed


COPIES = """
import numpy as np
def load():
    numbers = np.random.default_rng(0)
    x = np.repeat(np.arange(150.0), 4)[numbers.permutation(600)]
    return np.stack([x, x % 7], axis=1), (x % 3).astype(int)
"""


def federation_of(own: Any, **changes: Any) -> Federation:
    holdout = {
        "test": 0.2,
        "client": 0.25,
        "unseen_clients": 1,
        "validation": 0.2,
        **changes.pop("holdout", {}),
    }
    base = {
        "dataset": f"{own(COPIES)}:load",
        "model": "linear",
        "rounds": 1,
        "clients": 5,
        "holdout": holdout,
    }
    return partition_clients(RunConfig.model_validate({**base, **changes}))


def test_copies_across_the_split_are_counted_and_logged(own: Any) -> None:
    federation = federation_of(own)
    contents = federation.examples.contents
    training = {int(contents[e]) for e in federation.training}
    for name, held_out in federation.held_out_sets().items():
        count = sum(int(contents[e]) in training for e in held_out)  # the slow loop
        assert federation.copies[name] == count > 0
        assert heterogeneity_metrics(federation)[f"heterogeneity/{name}_duplicates"] == count


@pytest.mark.parametrize("partitioner", ["iid", "dirichlet(0.3)"])
def test_together_leaves_no_copy_of_test_or_own_examples_in_training(own: Any, partitioner: str) -> None:
    apart = federation_of(own, partitioner=partitioner)
    federation = federation_of(own, partitioner=partitioner, holdout={"duplicates": "together"})
    assert federation.copies["test"] == 0
    assert federation.copies["client"] == 0
    assert federation.copies["validation"] == 0
    assert federation.copies["unseen"] > 0  # whole clients stay whole
    assert abs(len(federation.test) - len(apart.test)) < 40
    everything = np.concatenate(
        [
            federation.test,
            federation.training,
            *federation.own_held_out,
            *federation.own_validation,
            *federation.unseen,
        ]
    )
    assert sorted(everything.tolist()) == list(range(600))


def test_the_cure_is_told_to_those_who_have_not_taken_it() -> None:
    base: dict[str, Any] = {"dataset": "linear(size=90)", "model": "linear", "rounds": 1, "clients": 4}
    for choice, told in (("ignore", True), ("together", False)):
        config = RunConfig.model_validate({**base, "holdout": {"client": 0.3, "duplicates": choice}})
        setup = prepare(config)
        setup = replace(setup, federation=replace(setup.federation, copies={"client": 1}))
        (sentence,) = [each for each in cautions(setup) if each.startswith("duplicates: 1 of")]
        assert sentence.endswith("keeps copies on one side") == told


def test_without_copies_the_choice_changes_nothing_and_keys_of_older_configs_stay() -> None:
    base: dict[str, Any] = {"dataset": "linear(size=90)", "model": "linear", "rounds": 1, "clients": 4}
    plain = RunConfig.model_validate({**base, "holdout": {"client": 0.3}})
    together = RunConfig.model_validate({**base, "holdout": {"client": 0.3, "duplicates": "together"}})
    assert partition_clients(plain).partition_digest == partition_clients(together).partition_digest
    assert plain.run_key() != together.run_key()
    assert plain.run_key() == "ed25c857b414"  # as before there was the choice


def test_an_example_in_two_parts_is_a_bug_that_is_not_passed_over(own: Any) -> None:
    federation = federation_of(own)
    broken = replace(federation, test=np.append(federation.test, federation.clients[0][0]))
    with pytest.raises(RuntimeError, match=rf"example {federation.clients[0][0]} is in 2 parts"):
        check_apart(broken)


@pytest.mark.slow
def test_real_sets(real_data: Path) -> None:
    """What Fashion-MNIST, adult, the reviews and the newsgroups hold more than once."""
    from federated.extension_points.kinds import DATASET
    from federated.federation.loading import load_examples

    images = load_examples(DATASET.bind({"name": "idx", "path": str(real_data / "fashion-mnist")}))
    assert images.test is not None
    distinct = {image.tobytes() for image in images.inputs}  # the slow way
    assert len(np.unique(images.contents)) == len(distinct)
    training = {image.tobytes() for image in images.inputs[~images.test]}
    across = sum(image.tobytes() in training for image in images.inputs[images.test])
    at = np.arange(len(images.targets))
    assert copies_among(images.contents, at[images.test], at[~images.test]) == across
    for name, column in (("amazon-reviews-4domain/reviews", "text"), ("20newsgroups/messages", "body")):
        with lzma.open(real_data / f"{name}.jsonl.xz", "rt", encoding="utf-8") as file:
            table = pd.DataFrame({column: [json.loads(line)[column] for line in file]})
        distinct = len(np.unique(examples_of(table).contents))
        assert distinct == table[column].nunique() < len(table)
        assert name.startswith("20") or len(table) - distinct == 147  # as the data set is described
    adult = pd.read_csv(real_data / "adult" / "adult.data.gz", header=None, skipinitialspace=True)
    features = adult.iloc[:, :-1].rename(columns=str)
    contents = examples_of(features).contents
    assert len(features) - len(np.unique(contents)) == int(features.duplicated().sum())


def test_rows_that_differ_in_a_bit_or_in_the_order_of_words_have_hashes_of_their_own() -> None:
    one_bit = np.packbits(np.eye(104, dtype=bool), axis=1)  # 13 bytes a row, not whole words
    pairs = np.stack(np.meshgrid(np.arange(200), np.arange(200)), axis=-1).reshape(-1, 2)
    for rows in (one_bit, pairs, pairs.astype(np.float32), np.repeat(pairs, 5, axis=1)):
        assert len(np.unique(hashes_of(rows))) == len(rows), (rows.dtype, rows.shape)
