"""A person's own scaler or vectoriser learns from the training examples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from federated.datasets import as_examples
from federated.foundation.errors import BadInput, OwnCodeFailed

NUMBERS = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 8.0], [900.0, -900.0]])
TEXTS = ["a b", "b c", "c c", "only here"]
TARGETS = ["no", "yes", "no", "yes"]
TRAINING = np.array([0, 1, 2])


def fitted(inputs: Any, fit: Any, training: np.ndarray = TRAINING) -> np.ndarray:
    return (
        as_examples({"inputs": inputs, "targets": TARGETS, "fit": fit}, "mine:load").fitted(training).inputs
    )


@pytest.mark.parametrize("inputs", [NUMBERS, NUMBERS.tolist(), pd.DataFrame(NUMBERS, index=[9, 8, 7, 6])])
def test_a_scaler_learns_of_the_training_rows(inputs: Any) -> None:
    found = fitted(inputs, StandardScaler())
    # Training: 1, 3, 5 with mean 3 and variance 8/3; 5, 5, 8 with mean 6 and variance 2.
    expected = (NUMBERS - [3, 6]) / np.sqrt([8 / 3, 2])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_what_was_fitted_before_is_forgotten_and_the_persons_own_stays_as_it_is() -> None:
    scaler = StandardScaler().fit(NUMBERS)
    mean = scaler.mean_.copy()
    np.testing.assert_array_equal(fitted(NUMBERS, scaler), fitted(NUMBERS, StandardScaler()))
    np.testing.assert_array_equal(scaler.mean_, mean)


@pytest.mark.parametrize("texts", [TEXTS, pd.Series(TEXTS), np.array(TEXTS)])
def test_a_vectoriser_has_only_words_of_the_training_texts(texts: Any) -> None:
    found = fitted(texts, CountVectorizer(token_pattern=r"\w+"))
    assert found.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 2], [0, 0, 0]]
    assert found.dtype == np.float32  # counts are amounts, not tokens
    assert fitted(texts, TfidfVectorizer(token_pattern=r"\w+")).shape == (4, 3)


def test_columns_of_a_table_reach_the_transformer_as_they_are() -> None:
    frame = pd.DataFrame({"colour": ["red", "blue", "red", "green"]})
    found = fitted(frame, OneHotEncoder(handle_unknown="ignore"))
    assert found.tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]


def test_what_is_drawn_at_random_is_the_same_each_time() -> None:
    pipeline = make_pipeline(TfidfVectorizer(token_pattern=r"\w+"), TruncatedSVD(2))
    np.testing.assert_array_equal(fitted(TEXTS, pipeline), fitted(TEXTS, pipeline))


def test_a_function_of_the_training_indices_returns_all_inputs() -> None:
    found = fitted(NUMBERS, lambda training: NUMBERS - NUMBERS[training].mean(axis=0))
    np.testing.assert_allclose(found, NUMBERS - [3, 6])
    tokens = fitted(TEXTS, lambda training: np.arange(4) % len(training))
    assert tokens.dtype == np.int64


def test_blocks_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(NUMBERS, StandardScaler())
    monkeypatch.setattr("federated.examples.user_fit._TRANSFORMED_AT_A_TIME", 3)
    np.testing.assert_array_equal(fitted(NUMBERS, StandardScaler()), whole)


@pytest.mark.parametrize(
    ("inputs", "fit", "message"),
    [
        (NUMBERS, 3, "fit must be a transformer with `fit` and `transform`.*got a int"),
        (NUMBERS, StandardScaler, r"got the class StandardScaler; write StandardScaler\(\)"),
        (TEXTS, StandardScaler(), "dataset: mine:load: StandardScaler failed"),
        (NUMBERS, lambda training: NUMBERS[training], "fit returned inputs of 3 examples, there are 4"),
        (NUMBERS, lambda training: 1 / 0, "fit failed: ZeroDivisionError"),
        (NUMBERS, lambda training: np.full((4, 1), "a"), "inputs must be numbers"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(inputs: Any, fit: Any, message: str) -> None:
    with pytest.raises((BadInput, OwnCodeFailed), match=message) as caught:
        fitted(inputs, fit)
    assert "\n" not in str(caught.value)


def test_sparse_inputs_are_refused() -> None:
    with pytest.raises(BadInput, match="inputs are a sparse matrix"):
        fitted(CountVectorizer().fit_transform(["aa", "bb", "cc", "dd"]), StandardScaler())
