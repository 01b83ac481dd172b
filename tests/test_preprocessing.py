"""Raw rows become the inputs that evaluation sees: scikit-learn is the oracle, and the project is not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from federated.datasets import DATASETS
from federated.examples.examples import Examples
from federated.examples.user_data import as_examples
from federated.preprocessing import raw_rows
from federated.preprocessing.preprocessing import Preprocessing
from federated.preprocessing.raw_rows import KINDS, example_of, inputs_of

ROOM = Path(raw_rows.__file__).parent
RNG = np.random.default_rng(0)
N = 60
FRAME = pd.DataFrame(
    {
        "age": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(40, 12, N)),
        "height": RNG.normal(170, 9, N),
        "constant": 0.1,
        "colour": RNG.choice(["red", "blue", None], N),
        "smokes": RNG.choice([True, False], N),
        "mixed": RNG.choice(np.array(["a", 1, None], object), N),
    }
)
TRAINING = np.arange(0, N, 2)


def oracle(frame: pd.DataFrame, training: np.ndarray) -> np.ndarray:
    numeric, categorical = ["age", "height", "constant"], ["colour", "smokes", "mixed"]
    cleaned = frame.copy()
    for name in categorical:
        cleaned[name] = pd.Series([None if pd.isna(v) else str(v) for v in frame[name]], dtype=object)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    transformer = ColumnTransformer(
        [
            ("numeric", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
            ("missing", MissingIndicator(features="all"), ["age"]),
            ("categorical", encoder, categorical),
        ],
        sparse_threshold=0,
    )
    return np.asarray(transformer.fit(cleaned.iloc[training]).transform(cleaned), np.float32)


def table() -> Examples:
    return as_examples((FRAME, RNG.integers(0, 2, N)), "mine")


def applied(preprocessing: Preprocessing, rows: Any) -> np.ndarray:
    return inputs_of(preprocessing.name, preprocessing.values, preprocessing.arrays, rows)


def test_a_table_becomes_what_scikit_learn_makes_of_it_to_the_bit() -> None:
    np.testing.assert_array_equal(table().fitted(TRAINING).inputs, oracle(FRAME, TRAINING))


def test_raw_rows_of_a_table_become_its_inputs() -> None:
    inputs, preprocessing = table().fitted(TRAINING)
    np.testing.assert_array_equal(applied(preprocessing, FRAME), inputs)
    records = json.loads(FRAME.to_json(orient="records"))
    np.testing.assert_allclose(applied(preprocessing, records), inputs, rtol=1e-6)


def test_columns_in_another_order_absent_and_unknown_ones_and_new_categories() -> None:
    inputs, preprocessing = table().fitted(TRAINING)
    np.testing.assert_array_equal(
        applied(preprocessing, FRAME.assign(more=1)[[*[*FRAME][::-1], "more"]]), inputs
    )
    alone = applied(preprocessing, FRAME[["height"]])
    np.testing.assert_array_equal(
        alone,
        applied(
            preprocessing, FRAME.assign(age=np.nan, constant=np.nan, colour=None, smokes=None, mixed=None)
        ),
    )
    new = applied(preprocessing, FRAME.assign(colour="green"))
    assert (new[:, 4:7] == 0).all()  # blue, red, missing; behind three numbers and the gaps of age
    with pytest.raises(ValueError, match="none of the columns that the model takes: age, height"):
        applied(preprocessing, FRAME[["smokes"]].rename(columns={"smokes": "s"}))


def test_numbers_in_texts_are_read_by_the_marks_of_the_file_and_others_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("price;size;y\n1.234,5;1;a\n2,5;2;b\n3,5;;a\n4,5;2;b\n")
    dataset = DATASETS["table"](file, "y", separator=";", decimal=",", thousands=".", categorical=("size",))
    inputs, preprocessing = dataset().fitted(np.arange(4))
    texts = [{"price": "1.234,5", "size": 1}, {"price": "2,5", "size": 2.0}]
    np.testing.assert_array_equal(applied(preprocessing, texts), inputs[:2])
    assert applied(preprocessing, [{"price": None, "size": None}])[0, 0] == pytest.approx(
        applied(preprocessing, [{"price": 4.0, "size": None}])[0, 0]
    )
    with pytest.raises(ValueError, match="'price' must be numeric, but is 'cheap' in row 2"):
        applied(preprocessing, [{"price": 1.0}, {"price": "cheap"}])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_arrays_are_their_own_raw_rows(dtype: type) -> None:
    inputs = np.arange(24).reshape(4, 2, 3).astype(dtype)
    examples = Examples("x", inputs, np.array([0, 1, 0, 1]), ("a", "b"))
    found, preprocessing = examples.fitted(np.arange(2))
    np.testing.assert_array_equal(applied(preprocessing, inputs.tolist()), found)
    assert applied(preprocessing, inputs.tolist()).dtype == dtype
    with pytest.raises(ValueError, match=r"must be \[n, 2, 3\], got \[4, 3, 2\]"):
        applied(preprocessing, inputs.transpose(0, 2, 1))


def test_bytes_out_of_range_are_refused() -> None:
    values = {"shape": [1], "dtype": "uint8"}
    for wrong in ([[256]], [[-1]], [[0.5]], [[np.nan]]):
        with pytest.raises(ValueError, match="whole numbers that uint8 holds"):
            inputs_of("none", values, {}, wrong)


def test_of_what_a_person_fits_without_saying_how_the_rows_are_what_was_returned() -> None:
    examples = Examples(
        "x", np.ones((4, 2)), np.array([0, 1, 0, 1]), ("a", "b"), fit=lambda _: np.ones((4, 3), np.float32)
    )
    learnt = examples.fitted(np.arange(2)).preprocessing
    assert (learnt.name, dict(learnt.values)) == ("none", {"shape": [3], "dtype": "float32"})


LEARNT: Mapping[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "none": ({"shape": [2, 3], "dtype": "uint8"}, {}),
    "table": (
        dict(table().fitted(TRAINING).preprocessing.values),
        dict(table().fitted(TRAINING).preprocessing.arrays),
    ),
    "signals": ({"shape": [2, 5]}, {"mean": np.array([1.0, 2.0]), "scale": np.array([2.0, 0.0])}),
    "text": (
        {
            "columns": ["title", "body"],
            "inputs": "tfidf",
            "unit": "word",
            "ngrams": 1,
            "lowercase": True,
            "vocabulary": ["another", "text"],
        },
        {"rarity": np.array([1.5, 1.0])},
    ),
    "next_token": (
        {"columns": ["line"], "unit": "character", "lowercase": True, "length": 5, "vocabulary": ["e", "t"]},
        {},
    ),
    "images": ({"height": 4, "width": 6, "colour": "rgb", "resize": "crop"}, {}),
}
"""What each kind of raw rows learns, in small."""


def test_every_kind_has_a_row() -> None:
    assert set(LEARNT) == set(KINDS)


@pytest.mark.parametrize("name", LEARNT)
def test_values_are_json_and_the_example_can_be_taken(name: str) -> None:
    values, arrays = LEARNT[name]
    stored = json.loads(json.dumps(values))
    example = example_of(name, stored, arrays)
    assert len(example) == 2
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays.values())
    np.testing.assert_array_equal(
        inputs_of(name, stored, arrays, example), inputs_of(name, values, arrays, example)
    )


@pytest.mark.slow
def test_the_room_works_without_this_project(tmp_path: Path) -> None:
    """Under another name, in a process that does not find the project."""
    there = tmp_path / "elsewhere"
    there.mkdir()
    for file in ROOM.glob("*.py"):
        (there / file.name).write_text(file.read_text())
    code = (
        "import sys, json, numpy as np; from elsewhere.raw_rows import inputs_of;"
        "print(inputs_of('none', {'shape': [1], 'dtype': 'uint8'}, {}, [[7]]).tolist());"
        "print([name for name in sys.modules if name.split('.')[0] in ('federated', 'sklearn', 'mlflow', 'prefect')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[[7]]", "[]"]
