"""Tables: which column is what, and what is refused."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput

FRAME = pd.DataFrame(
    {
        "age": [20.0, 30.0, 40.0, 50.0],
        "colour": ["red", "blue", "red", "green"],
        "ward": [3, 3, 5, 5],
        "ill": ["no", "yes", "no", "yes"],
    }
)
ALL = np.arange(4)


def read(folder: Path, frame: pd.DataFrame, target: str = "ill", **arguments: Any) -> Examples:
    """Through Parquet, which keeps the dtypes."""
    frame.to_parquet(folder / "patients.parquet")
    return DATASETS["table"](folder / "patients.parquet", target, **arguments)()


def read_csv(folder: Path, text: str, target: str = "y", **arguments: Any) -> Examples:
    (folder / "patients.csv").write_text(text)
    return DATASETS["table"](folder / "patients.csv", target, **arguments)()


def fitted(examples: Examples, training: np.ndarray = ALL) -> np.ndarray:
    assert examples.fit is not None
    inputs = examples.fitted(training).inputs
    assert inputs.dtype == np.float32
    return inputs


def with_column(name: str, values: Any) -> pd.DataFrame:
    return FRAME[["age", "ill"]].assign(**{name: values})


# Which column is what.


def test_the_client_is_never_a_feature(tmp_path: Path) -> None:
    examples = read(tmp_path, FRAME, client="ward")
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == [3, 3, 5, 5]
    assert list(examples.inputs.columns) == ["age", "colour"]


def test_stated_kinds_win_and_the_rest_is_inferred(tmp_path: Path) -> None:
    assert fitted(read(tmp_path, FRAME, categorical=("ward",))).shape == (4, 1 + 3 + 2)
    texts = with_column("number", ["1", "2", "3", None])
    assert fitted(read(tmp_path, texts, numeric=("number",))).shape == (4, 1 + 1 + 1)


def test_both_lists_together_are_all_the_features(tmp_path: Path) -> None:
    assert list(read(tmp_path, FRAME, numeric=("age",), categorical=()).inputs.columns) == ["age"]
    assert list(read(tmp_path, FRAME, drop=("age",)).inputs.columns) == ["colour", "ward"]


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (["no", "yes", "no", "yes"], ("no", "yes")),
        ([True, False, True, False], ("False", "True")),
        ([10, 9, 10, 9], ("9", "10")),
        ([2.0, 1.0, 2.0, 1.0], ("1", "2")),
        (pd.Categorical(["b", "a", "b", "a"], categories=["b", "a", "unused"]), ("a", "b")),
        ([0.5, 1.0, 1.5, 0.5], None),
    ],
)
def test_the_task_is_inferred_from_the_target(tmp_path: Path, target: Any, classes: Any) -> None:
    examples = read(tmp_path, FRAME.assign(ill=target))
    assert examples.classes == classes
    if classes is not None:
        assert [classes[number] for number in examples.targets] == [
            str(int(value) if isinstance(value, float) else value) for value in target
        ]


def test_many_whole_numbers_are_regression_unless_stated(tmp_path: Path) -> None:
    few, many = ("x,y\n" + "".join(f"{i},{i % n}\n" for i in range(60)) for n in (20, 21))
    assert read_csv(tmp_path, few).task.name == "classification"
    assert read_csv(tmp_path, many).task.name == "regression"
    assert read_csv(tmp_path, many, task="classification").num_outputs == 21
    regression = read_csv(tmp_path, few, task="regression")
    assert regression.targets.dtype == np.float32
    assert regression.targets[:3].tolist() == [0, 1, 2]


def test_csv_gzip_and_parquet_hold_the_same(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "p.csv", index=False)
    FRAME.to_csv(tmp_path / "p.csv.gz", index=False)
    FRAME.to_csv(tmp_path / "p.tsv", index=False, sep="\t")
    FRAME.to_parquet(tmp_path / "p.parquet")
    FRAME.set_index("ward").to_parquet(tmp_path / "indexed.parquet")
    table = DATASETS["table"]
    digests = {
        table(tmp_path / name, "ill", client="ward")().digest for name in ("p.csv", "p.csv.gz", "p.parquet")
    }
    digests |= {table(tmp_path / "p.tsv", "ill", client="ward", separator="\t")().digest}
    digests |= {table(tmp_path / "indexed.parquet", "ill", client="ward")().digest}
    assert len(digests) == 1


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"client": "y"}, "client must be another column than target"),
        ({"numeric": ("y",)}, "target must not be a feature, but 'y'"),
        ({"client": "c", "categorical": ("c",)}, "client must not be a feature, but 'c'"),
        ({"numeric": ("a",), "drop": ("a",)}, "drop must not name features, but 'a'"),
        ({"numeric": ("a",), "categorical": ("a",)}, "'a' is in both"),
        ({"drop": ("y",)}, "drop must not name the target column 'y'"),
        ({"separator": "::"}, "separator must be one character, got '::'"),
    ],
)
def test_contradictions_are_refused_before_loading(tmp_path: Path, arguments: Any, message: str) -> None:
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match=message):
        DATASETS["table"](tmp_path / "empty.csv", "y", **arguments)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("a,b\n1,2\n", {}, "the target column 'y' is not in patients.csv; its columns are: a, b"),
        (
            "a,Y\n1,2\n",
            {},
            "the target column 'y' is not in patients.csv; did you mean 'Y'? its columns are: a, Y",
        ),
        (
            "age,y\n1,2\n",
            {"client": "agee"},
            "'agee' is not in patients.csv; did you mean 'age'? its columns are",
        ),
        ("a;y\n1;2\n3;4\n", {}, "its columns are: a;y; is the separator right?"),
        ("a,y\n1,2\n3,4\n", {"client": "c"}, "the client column 'c' is not in"),
        ("a,y\n1,2\n3,4\n", {"numeric": ("n",)}, "the numeric column 'n' is not in"),
        ("a,y\n1,2\n3,4\n", {"categorical": ("n",)}, "the categorical column 'n' is not in"),
        ("a,y\n1,2\n3,4\n", {"drop": ("n",)}, "the drop column 'n' is not in"),
        ("a,y\n1,2\n3,4\n", {"drop": ("a",)}, "no column is left to be a feature"),
        ("a,y,a\n1,2,3\n4,5,6\n", {}, "the column 'a' is there more than once"),
        (",a,y\n0,1,2\n1,4,5\n", {}, "a column has no name, which is often a saved row number"),
        ("a,y\n0,1,2\n1,4,5\n", {}, "row 1 has 3 fields, the header 2; name the first column if"),
        (
            "a,y\n1,2\n3,4,5\n",
            {},
            "line 3 has 3 fields, those before have 2; put texts that hold the separator ','",
        ),
        ('a,y\n1,2\n"3,4\n5,6\n', {}, "a quotation mark that opens in or after line 3 is never closed"),
        ("", {}, "patients.csv cannot be read"),
        ("a,y\n", {}, "at least 2 rows are needed, patients.csv has 0"),
        (
            "a,y\n1,p\n2,\n3,q\n4,\n",
            {},
            "'y' is missing in 2 of 4 rows, the first is row 2; remove these rows",
        ),
        (
            "c,a,y\nk,1,p\n,2,q\n",
            {"client": "c"},
            "the column 'c' is missing in 1 of 2 rows, the first is row 2",
        ),
        (
            "a,y\n1,p\n,q\n",
            {"missing": "error"},
            "the column 'a' is missing in 1 of 2 rows, the first is row 2; fill",
        ),
        ("a,y\n1,p\ninf,q\n-inf,q\n", {}, "the column 'a' holds 2 infinite values, the first in row 2"),
        ("a,y\n1,2.5\n2,inf\n", {}, "the column 'y' holds 1 infinite values, the first in row 2"),
        (
            "a,y\n1,p\n?,q\n",
            {"numeric": ("a",)},
            "'a' must be numeric, but 1 value is not, the first is '?' in row 2",
        ),
        ("a,y\n1,p\n2,q\n", {"task": "regression"}, "the column 'y' must be numeric, but 2 values are not"),
        ("a,y\n1,p\n2,p\n", {}, "the target column 'y' is 'p' in every row; 2 classes are needed"),
        ("a,y\n1,1e39\n2,1.5\n", {}, "the target column 'y' holds numbers beyond the range"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, arguments: Any, message: str) -> None:
    with pytest.raises(BadInput, match="dataset: table: .*" + re.escape(message)):
        read_csv(tmp_path, text, **arguments)


def test_names_and_prose_are_no_categories(tmp_path: Path) -> None:
    rows = "".join(f"name {i},{i % 2}\n" for i in range(1001))
    with pytest.raises(
        BadInput, match=r"'x' has 1,001 distinct texts, at most 1,000 can be categories; name it in `drop`$"
    ):
        read_csv(tmp_path, "x,y\n" + rows)
    almost_numbers = "".join(f"{i},{i % 2}\n" for i in range(2000)) + "n/k,1\n"
    with pytest.raises(
        BadInput, match=r'100\.0% of it are numbers; .*\'n/k\' in row 2001; .*_values: \["n/k"\]'
    ):
        read_csv(tmp_path, "x,y\n" + almost_numbers)
    assert read_csv(tmp_path, "x,z,y\n" + rows.replace(",", ",0,"), drop=("x",)).inputs.shape == (1001, 1)
    with pytest.raises(BadInput, match=r"'x' has 1,001 distinct texts; if these are classes"):
        read_csv(tmp_path, "x,y\n" + rows, target="x")


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2020", periods=4),
        pd.to_timedelta([1, 2, 3, 4]),
        [[1], [2], [3], [4]],
        [b"\xff", b"b", b"c", b"d"],
    ],
)
def test_values_that_are_neither_numbers_nor_text_are_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(
        BadInput, match=r"the column 'odd' holds .* values; drop it, or turn it into numbers or text"
    ):
        read(tmp_path, with_column("odd", values))
    assert read(tmp_path, with_column("odd", values), drop=("odd",)).inputs.shape == (4, 1)


@pytest.mark.parametrize("name", ["broken.csv.gz", "broken.parquet"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b not really")
    with pytest.raises(BadInput, match=f"{name} cannot be read"):
        DATASETS["table"](tmp_path / name, "y")()


# Real data.


def test_parkinsons_telemonitoring(real_data: Path) -> None:
    path = real_data / "parkinsons-telemonitoring" / "parkinsons_updrs.data.gz"
    examples = DATASETS["table"](path, "total_UPDRS", client="subject#", drop=("motor_UPDRS",))()
    assert examples.task.name == "regression"
    assert examples.client_ids is not None
    names, sizes = np.unique(examples.client_ids, return_counts=True)
    assert (len(names), sizes.min(), sizes.max(), sizes.sum()) == (42, 101, 168, 5875)
    training = np.arange(0, 5875, 2)
    inputs = fitted(examples, training)
    assert inputs.shape == (5875, 19)
    np.testing.assert_allclose(inputs[training].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs[training].std(axis=0), 1, atol=1e-4)


ADULT = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]


def test_adult_with_missing_values(real_data: Path, tmp_path: Path) -> None:
    with gzip.open(real_data / "adult" / "adult.data.gz", "rt") as file:
        lines = [line.replace("?", "") for line in file][:3000]
    (tmp_path / "adult.csv").write_text(",".join(ADULT) + "\n" + "".join(lines))
    examples = DATASETS["table"](tmp_path / "adult.csv", "income", client="education")()
    assert examples.classes == ("<=50K", ">50K")
    assert examples.inputs.shape == (3000, 13)
    texts = [name for name in examples.inputs if examples.inputs[name].dtype == object]
    assert len(texts) == 7
    rows = [line.rstrip().split(", ") for line in lines]
    assert examples.inputs["occupation"].isna().sum() == sum(row[6] == "" for row in rows) > 0
    # One feature a number and one a distinct text; the empty text is the category of the missing ones.
    distinct = [len({row[ADULT.index(name)] for row in rows}) for name in texts]
    assert fitted(examples, np.arange(3000)).shape == (3000, 6 + sum(distinct))
