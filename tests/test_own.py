"""What a user's own data set function may return."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from federated.datasets import Examples, as_examples
from federated.foundation.errors import BadInput

INPUTS, TARGETS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0, 1, 0]


def test_examples_pass_as_they_are() -> None:
    examples = Examples("mine", np.ones((2, 1), np.float32), np.array([0, 1]), ("no", "yes"))
    assert as_examples(examples, "my.module:load") is examples


@pytest.mark.parametrize(
    "result",
    [
        (INPUTS, TARGETS),
        (np.array(INPUTS), np.array(TARGETS)),
        (torch.tensor(INPUTS, dtype=torch.bfloat16, requires_grad=True), torch.tensor(TARGETS)),
        ([torch.tensor(row) for row in INPUTS], [torch.tensor(t) for t in TARGETS]),
        (np.array(INPUTS, ">f8")[::-1][::-1], np.array(TARGETS, np.int8)),
        {"inputs": INPUTS, "targets": pd.Series(TARGETS, index=[7, 8, 9], dtype="Int64")},
        {"inputs": INPUTS, "targets": np.array(TARGETS, object)},
        {"inputs": INPUTS, "targets": np.array(TARGETS)[:, None]},
    ],
)
def test_arrays_of_any_make_become_the_same_examples(result: Any) -> None:
    examples = as_examples(result, "my.module:load")
    assert examples.name == "my.module:load"
    assert examples.inputs.dtype == np.float32
    assert examples.inputs.tolist() == INPUTS
    assert examples.targets.tolist() == TARGETS
    assert examples.classes == ("0", "1")
    assert torch.from_numpy(examples.inputs).shape == (3, 2)


def test_client_ids_test_and_classes_are_taken_over() -> None:
    mapping = {"inputs": INPUTS, "targets": TARGETS, "test": [False, False, True], "classes": ["no", "yes"]}
    examples = as_examples({**mapping, "client_ids": ["a", "b", "a"]}, "f")
    assert examples.client_ids is not None
    assert examples.test is not None
    assert examples.client_ids.tolist() == ["a", "b", "a"]
    assert examples.test.tolist() == [False, False, True]
    assert examples.classes == ("no", "yes")
    third = as_examples((INPUTS, TARGETS, torch.tensor([4, 5, 4])), "f").client_ids
    assert third is not None
    assert third.tolist() == [4, 5, 4]


def test_a_data_frame_is_preprocessed_and_left_alone() -> None:
    frame = pd.DataFrame(
        {("age", 1): [31.0, np.nan, 45.0], 2: ["f", "m", None]}, index=pd.Index(list("xyz"), name="i")
    )
    before = frame.copy()
    examples = as_examples((frame, pd.Series(["well", "ill", "ill"]), pd.Series(list("aab"))), "f")
    assert examples.fit is not None
    assert examples.fitted(np.arange(3)).inputs.shape == (3, 1 + 1 + 3)  # age, its gaps, sex with its gap
    assert examples.classes == ("ill", "well")
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == ["a", "a", "b"]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("some.csv", "dataset: my.module:load returned a str; it must return an Examples, a tuple"),
        (None, "returned a NoneType"),
        (pd.DataFrame({"a": [1]}), "returned a DataFrame"),
        ((INPUTS,), "returned a tuple of 1"),
        (
            {"data": INPUTS, "target": TARGETS},
            "returned a mapping with the keys data, target; it must return",
        ),
        (
            {"inputs": INPUTS, "targets": TARGETS, "labels": TARGETS},
            "returned a mapping with the keys inputs, targets",
        ),
        (([[1.0], [1.0, 2.0]], [0, 1]), "inputs cannot be read as one array"),
        ((5, TARGETS), "inputs must be an array with an entry for each example, got a int"),
        ((INPUTS, [0, 1]), "targets has 2 entries, inputs has 3"),
        ((INPUTS, ["a", None, "b"]), "targets has 1 missing values, the first is example 1"),
        ((INPUTS, ["a", float("nan"), "b"]), "targets has 1 missing values"),
        ((INPUTS, ["a", 1, "b"]), "targets must hold numbers or text of one kind"),
        ({"inputs": INPUTS, "targets": TARGETS, "classes": "ab"}, "classes must be an array"),
        (
            {"inputs": INPUTS, "targets": TARGETS, "classes": ["a", "a"]},
            "at least 2 different names, got a, a",
        ),
        (
            {"inputs": INPUTS, "targets": ["a", "b", "c"], "classes": ["a", "b"]},
            "'c' is not among the classes a, b",
        ),
    ],
)
def test_anything_else_is_refused(result: Any, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        as_examples(result, "my.module:load")
