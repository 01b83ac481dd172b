"""The preprocessing of a table learns from the training rows alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets import as_examples

FRAME = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "colour": ["red", "blue", "red", "green"]})
ALL = np.arange(4)


def fitted(columns: pd.DataFrame, training: np.ndarray = ALL) -> np.ndarray:
    examples = as_examples((columns, ["no", "yes"] * (len(columns) // 2)), "mine")
    assert examples.fit is not None
    inputs = examples.fitted(training).inputs
    assert inputs.dtype == np.float32
    return inputs


def with_column(name: str, values: Any) -> pd.DataFrame:
    return FRAME[["age"]].assign(**{name: values})


def test_numeric_columns_become_the_z_scores_of_the_training_rows() -> None:
    inputs = fitted(FRAME[["age"]], np.array([0, 1, 2]))
    # Training ages 20, 30, 40: mean 30, variance (100 + 0 + 100) / 3.
    expected = [(age - 30) / (200 / 3) ** 0.5 for age in (20, 30, 40, 50)]
    np.testing.assert_allclose(inputs[:, 0], expected, rtol=1e-6)


def test_a_held_out_outlier_changes_nothing_for_the_training_rows() -> None:
    training = np.array([0, 1, 2])
    gap = FRAME.assign(age=[20.0, np.nan, 40.0, 50.0])
    outlier = gap.assign(age=[20.0, np.nan, 40.0, 1e9], colour=["red", "blue", "red", "never seen"])
    plain, odd = (fitted(frame, training) for frame in (gap, outlier))
    np.testing.assert_array_equal(odd[training], plain[training])
    assert odd[3, 0] > 1e6


def test_which_rows_train_matters() -> None:
    assert not np.array_equal(fitted(FRAME, np.array([0, 1, 2])), fitted(FRAME, np.array([0, 2, 3])))


def test_a_missing_number_is_the_training_median_and_has_an_indicator() -> None:
    inputs = fitted(pd.DataFrame({"age": [10.0, 20.0, 90.0, np.nan]}))
    filled = np.array([10.0, 20.0, 90.0, 20.0])
    np.testing.assert_allclose(inputs[:, 0], (filled - filled.mean()) / filled.std(), rtol=1e-6)
    assert inputs[:, 1].tolist() == [0, 0, 0, 1]


def test_categories_become_one_column_each() -> None:
    inputs = fitted(FRAME[["colour"]])
    assert inputs.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]  # blue, green, red


def test_a_category_that_training_never_saw_is_all_zeros() -> None:
    inputs = fitted(FRAME[["colour"]], np.array([0, 1, 2]))
    assert inputs.tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]


def test_a_missing_category_is_a_category() -> None:
    frame = pd.DataFrame({"colour": ["red", None, "missing", "red"]})
    assert fitted(frame).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("values", [[7.0] * 4, [7.0, 7.0, 7.0, 8.0]])
def test_a_constant_column_is_zero_where_it_is_constant(values: list[float]) -> None:
    inputs = fitted(with_column("constant", values), np.array([0, 1, 2]))
    assert inputs[:3, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("values", [[np.nan] * 4, [None] * 4, [np.nan, np.nan, np.nan, 5.0]])
def test_a_column_without_training_values_is_left_out(values: list[Any]) -> None:
    assert fitted(with_column("empty", values), np.array([0, 1, 2])).shape == (4, 1)


def test_no_value_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no feature column has a value among the training examples"):
        fitted(pd.DataFrame({"x": [np.nan, np.nan, 3.0, 4.0]}), np.array([0, 1]))


def test_numbers_too_large_to_standardise_are_named() -> None:
    with pytest.raises(ValueError, match="'huge' holds numbers too large"):
        fitted(with_column("huge", [1e300, -1e300, 0.0, 1e308]))


@pytest.mark.parametrize(
    "values",
    [
        np.array([250, 255, 0, 5], np.uint8),
        np.array([250, 255, 0, 5], np.float16),
        pd.array([250, 255, 0, 5], "Int64"),
        [Decimal(250), Decimal(255), Decimal(0), Decimal(5)],
    ],
)
def test_numbers_of_any_dtype_are_standardised_without_overflow(values: Any) -> None:
    inputs = fitted(with_column("byte", values))[:, 1]
    wide = np.array([250.0, 255.0, 0.0, 5.0])
    np.testing.assert_allclose(inputs, (wide - wide.mean()) / wide.std(), rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True, True],
        pd.array([True, None, True, False], "boolean"),
        pd.Categorical(["a", "b", None, "b"]),
        pd.Categorical([1, 2, 1, 2]),
    ],
)
def test_booleans_and_pandas_categories_are_categorical(values: Any) -> None:
    inputs = fitted(with_column("flag", values))[:, 1:]
    assert inputs.shape[1] == pd.Series(values).nunique(dropna=False)
    assert (inputs.sum(axis=1) == 1).all()
