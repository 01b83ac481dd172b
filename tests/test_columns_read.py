"""How a table was read is said: the task, the role of every column, and what looks like a mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from federated.datasets import DATASETS, Examples, as_examples
from federated.examples.tables.number_like import number_like
from federated.federation.data_table import data_read
from federated.forecast import cautions
from federated.forecast.warnings import kind_of_probabilities
from federated.foundation.errors import BadInput
from federated.report import preview_html
from federated.run.setup import prepare
from tests.conftest import config_of

ROWS = 200


def examples_of(folder: Path, columns: dict[str, Any], target: str = "y", **arguments: Any) -> Examples:
    frame = pd.DataFrame({"y": np.arange(ROWS) % 2, **columns})
    frame.to_csv(folder / "t.csv", index=False)
    return DATASETS["table"](folder / "t.csv", target, **arguments)()


def cells(form: str = "{}", **strange: str) -> list[str]:
    """Numbers from 10.1 in steps of 0.1 in a form; row7="?" puts another text in row 7."""
    texts = [form.format(f"{10.1 + at / 10:.1f}") for at in range(ROWS)]
    for row, text in strange.items():
        texts[int(row.removeprefix("row")) - 1] = text
    return texts


NUMBERS_AS_TEXT: dict[str, tuple[list[str], str]] = {
    "one word": (
        cells(row8="not done"),
        r"""1 cell does not fit, such as 'not done' in row 8; state `missing_values: \["not done"\]""",
    ),
    "question marks": (
        cells(row3="?", row9="?"),
        r"""2 cells do not fit, such as '\?' in row 3; .*\["\?"\]""",
    ),
    "several": (cells(row2="-", row3="k.A."), r"""'-' in row 2, 'k.A.' in row 3; .*\["-", "k.A."\]"""),
    "decimal comma": (
        [cell.replace(".", ",") for cell in cells()],
        r"""200 cells do not fit, such as '10,1' in row 1, '10,2' in row 2, '10,3' in row 3; state `decimal: ","`""",
    ),
    "thousands": (
        [f"{1000 + 7 * at:,}" for at in range(ROWS)],
        r"""state `thousands: ","` \(or `decimal: ","` if 1,000""",
    ),
    "both": (
        [f"{1e6 + 7 * at:,.0f}".replace(",", ".") + ",5" for at in range(ROWS)],
        r"""`decimal: ","` and `thousands: "."`""",
    ),
    "spaces": ([f"{1000 + 7 * at:,}".replace(",", " ") for at in range(ROWS)], r"""state `thousands: " "`"""),
    "euros": (cells("€ {}"), "'€ 10.1' in row 1.*take what stands around the numbers off in the file"),
    "kilograms": (cells("{} kg"), "'10.1 kg' in row 1.*take what stands around"),
    "percent": (cells("{}%"), "'10.1%' in row 1.*take what stands around"),
    "below detection": (cells(row5="<10.1"), "1 cell does not fit, such as '<10.1' in row 5"),
    "half and half": (["x"] * 100 + cells()[:100], "50.0% of it is numbers; 100 cells"),
}


@pytest.mark.parametrize("what", NUMBERS_AS_TEXT)
def test_text_that_is_mostly_numbers_is_said_with_cells_and_cure(tmp_path: Path, what: str) -> None:
    column, sentence = NUMBERS_AS_TEXT[what]
    warnings = examples_of(tmp_path, {"lab": column}).reading.warnings
    assert len(warnings) == 1
    assert re.search(r"the column 'lab' is read as text, \d+ categories, but .*" + sentence, warnings[0])
    assert examples_of(tmp_path, {"lab": column}, categorical=("lab",)).reading.warnings == ()


def numbers(low: int = 0, high: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, ROWS)


GUESSES: dict[str, tuple[Any, str]] = {
    "id": (np.random.default_rng(0).permutation(ROWS) + 1000, "a different whole number in each of 200 rows"),
    "code": (
        np.where(np.arange(ROWS) == 41, -999, numbers()),
        r"is -999 in 1 row, the first is row 42, and 0 to 49",
    ),
    "constant": ([7.5] * ROWS, "is 7.5 in every row, so it tells the model nothing"),
    "constant text": (["EU"] * ROWS, "is 'EU' in every row"),
    "nothing": ([np.nan] * ROWS, "has no value at all, so it is left out"),
    "dates": (
        [f"2024-{1 + at % 12:02}-{1 + at % 28:02}" for at in range(ROWS)],
        "holds dates or times, such as '2024-01-01'",
    ),
    "mixed dates": (
        [("01.02.2024", "3/4/24", "5 May 2023")[at % 3] for at in range(ROWS)],
        "holds dates or times",
    ),
    "names": (
        [f"Ms {at}" for at in range(ROWS)],
        "has 200 categories in 200 rows, an input of the model each",
    ),
    "prose": ([f"word {at % 120}" for at in range(ROWS)], "has 120 categories in 200 rows"),
    "capitals": (
        [("north", "North", "south")[at % 3] for at in range(ROWS)],
        "has 'North', 'north', which are read as 2 categories",
    ),
    "spaces": ([("north", "north ", "south")[at % 3] for at in range(ROWS)], "has 'north', 'north ', which"),
    "yes and no": ([("yes", "no", "j", "n", "ja")[at % 5] for at in range(ROWS)], ""),
    "spellings": ([("yes", "no", "y", "n")[at % 4] for at in range(ROWS)], "says yes and no in 4 ways"),
}


@pytest.mark.parametrize("what", GUESSES)
def test_other_guesses_are_said(tmp_path: Path, what: str) -> None:
    column, sentence = GUESSES[what]
    warnings = examples_of(tmp_path, {"x": column, "age": numbers()}).reading.warnings
    assert len(warnings) == (sentence != "")
    assert all(sentence in each and "the column 'x'" in each for each in warnings)


def test_cures_of_parquet_are_in_the_data(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": cells(row8="?"), "b": cells(), "c": numbers(), "y": np.arange(ROWS) % 2})
    frame.loc[7, "c"] = -999
    frame.to_parquet(tmp_path / "t.parquet")
    said = DATASETS["table"](tmp_path / "t.parquet", "y")().reading.warnings
    assert len(said) == 3
    assert (
        "'?' in row 8; turn it into numbers, with nothing where there is none, or name it in `cat" in said[0]
    )
    assert "numbers; store it as numbers (`numeric` of a `table` reads it so)" in said[1]
    assert (
        "is -999 in 1 row, the first is row 8, and 0 to 49 in all others; if it stands for missing, leave"
        in said[2]
    )


def test_nothing_is_said_of_ordinary_columns(tmp_path: Path) -> None:
    columns = {
        "age": numbers(18, 99),
        "weight": np.round(np.random.default_rng(1).normal(70, 9, ROWS), 1),
        "gap": np.where(numbers() < 9, np.nan, numbers() / 3),
        "sex": [("f", "m")[at % 2] for at in range(ROWS)],
        "smoker": [("yes", "no")[at % 2] for at in range(ROWS)],
        "flag": [at % 3 == 0 for at in range(ROWS)],
        "band": [("<18", "18-65", ">65")[at % 3] for at in range(ROWS)],
        "income": [("<=50K", ">50K")[at % 2] for at in range(ROWS)],
        "code": [f"{1 + at % 9}{'ABCDEFGH'[at % 8]}" for at in range(ROWS)],
        "icd": [f"E{10 + at % 5}.{at % 3}" for at in range(ROWS)],
    }
    assert examples_of(tmp_path, columns).reading.warnings == ()


# The target.


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (
            [f"{8 + at % 21},0" for at in range(ROWS)],
            {},
            r"""is text, 21 different ones, but 100.0% .* state `decimal: ","`; or say""",
        ),
        (
            cells(row4="?"),
            {},
            r"""1 cell does not fit, such as '\?' in row 4; .*`task: classification` if every text""",
        ),
        ([("1", "2", "3+")[at % 3] for at in range(ROWS)], {}, "'3\\+' in row 3.*say `task: classification`"),
        (
            [("0", "1", "NA")[at % 3] for at in range(ROWS)],
            {},
            "is 'NA' in 66 of 200 rows, the first is row 3, which is read as missing; remove",
        ),
        ([f"{at % 50} kg" for at in range(ROWS)], {}, "'0 kg' in row 1"),
        (
            cells(row4="?"),
            {"task": "regression"},
            r"""must be numeric, but 1 value is not, the first is '\?' in row 4; .*missing_values""",
        ),
    ],
)
def test_a_target_that_is_mostly_numbers_is_refused(
    tmp_path: Path, target: list[str], arguments: Any, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        examples_of(tmp_path, {"y": target, "x": numbers()}, **arguments)


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        ([("1", "2", "3+")[at % 3] for at in range(ROWS)], "classification", ("1", "2", "3+")),
        ([("0", "1", "NA")[at % 3] for at in range(ROWS)], "classification", ("0", "1", "NA")),
        ([("<=50K", ">50K")[at % 2] for at in range(ROWS)], None, ("<=50K", ">50K")),
        ([("01", "1", "2")[at % 3] for at in range(ROWS)], None, ("01", "1", "2")),
        ([("01", "02")[at % 2] for at in range(ROWS)], None, ("1", "2")),
        ([("yes", "yes ", " no", "no")[at % 4] for at in range(ROWS)], None, ("no", "yes")),
        ([("Süd", "Su\u0308d", "Nord")[at % 3] for at in range(ROWS)], None, ("Nord", "Süd")),
    ],
)
def test_labels_are_told_apart_as_they_are_written(
    tmp_path: Path, target: list[str], task: Any, classes: tuple[str, ...]
) -> None:
    found = examples_of(tmp_path, {"y": target, "x": numbers()}, task=task)
    assert found.classes == classes
    merged = {"yes ": "yes", " no": "no", "Su\u0308d": "Süd", "02": "2"} | (
        {"01": "1"} if "02" in target else {}
    )
    assert [classes[at] for at in found.targets] == [merged.get(text, text) for text in target]


@pytest.mark.parametrize(
    ("target", "arguments", "sentence"),
    [
        (np.arange(ROWS) % 26, {}, r"only 26 different whole numbers \(0 to 25\), read as regression"),
        (np.arange(ROWS) % 3 + 0.5, {}, r"only 3 different numbers \(0.5 to 2.5\), read as regression"),
        (
            np.arange(ROWS) % 7,
            {},
            r"has 7 different whole numbers .* is read as 7 classes; if it is an amount",
        ),
        (np.arange(ROWS) % 26, {"task": "regression"}, ""),
        (np.arange(ROWS) % 7, {"task": "classification"}, ""),
        (np.arange(ROWS) % 2, {}, ""),
        (np.random.default_rng(0).normal(size=ROWS), {}, ""),
        (np.random.default_rng(0).integers(0, 10**6, ROWS), {}, ""),
    ],
)
def test_a_task_that_could_be_another_is_said(
    tmp_path: Path, target: np.ndarray, arguments: Any, sentence: str
) -> None:
    warnings = examples_of(tmp_path, {"y": target, "x": numbers()}, **arguments).reading.warnings
    assert len(warnings) == (sentence != "")
    assert all(re.search(sentence, each) for each in warnings)


def test_float_labels_of_arrays_are_said(tmp_path: Path) -> None:
    inputs, labels = np.ones((60, 2)), np.arange(60.0) % 3
    np.savez(tmp_path / "a.npz", inputs=inputs, targets=labels)
    found = DATASETS["arrays"](tmp_path / "a.npz")()
    assert found.task.name == "regression"
    assert "only 3 different whole numbers (0 to 2), read as regression" in found.reading.warnings[0]
    assert DATASETS["arrays"](tmp_path / "a.npz", task="regression")().reading.warnings == ()
    own = as_examples((inputs, labels), "my.module:load").reading.warnings
    assert own[0].endswith("if these are classes, return them as whole numbers (int64)")
    frame = as_examples((pd.DataFrame({"lab": cells(row8="?")[:60], "y": 1}), labels), "my.module:load")
    assert [each.role for each in frame.reading.columns] == ["categorical", "numeric"]
    assert any(
        "turn it into numbers, with nothing where there is none" in each for each in frame.reading.warnings
    )


# What is shown.


def test_every_column_is_listed_with_what_it_became(tmp_path: Path) -> None:
    columns = {
        "site": [("b", "a")[at % 2] for at in range(ROWS)],
        "age": np.where(np.arange(ROWS) < 50, np.nan, 7.0 + np.arange(ROWS) % 9),
        "sex": [("f", "m", None, "x")[at % 4] for at in range(ROWS)],
        "note": "n",
    }
    found = examples_of(tmp_path, columns, client="site", drop=("note",))
    assert found.fit is not None
    ready = Examples(
        "t", found.fitted(np.arange(ROWS)).inputs, found.targets, found.classes, reading=found.reading
    )
    read = data_read("table(t.csv)", ready)
    assert (
        read.found == "200 examples, classification of 2 classes: 0, 1; 2 columns make 6 inputs of the model"
    )
    assert read.rows == (
        ("y", "target", "classification of 2 classes: 0, 1", "", ""),
        ("site", "client", "2 clients: a, b", "", ""),
        ("age", "number", "7 to 15", "25 %", "2"),
        ("sex", "category", "3 values: f, m, x", "25 %", "4"),
        ("note", "dropped", "", "", ""),
    )


@pytest.mark.slow
def test_a_wide_table_stays_readable(tmp_path: Path) -> None:
    many = {f"x{at}": np.random.default_rng(at).normal(size=ROWS) for at in range(500)}
    dates = {f"d{at}": [f"2024-01-{1 + row % 28:02}" for row in range(ROWS)] for at in range(30)}
    found = examples_of(tmp_path, {**many, **dates})
    assert found.fit is not None
    ready = Examples(
        "t", found.fitted(np.arange(ROWS)).inputs, found.targets, found.classes, reading=found.reading
    )
    rows = data_read("t", ready).rows
    assert len(rows) == 1 + 13 + 13
    assert ("and 488 more", "number", "", "", "488") in rows
    assert ("and 18 more", "category", "", "", str(18 * 28)) in rows
    assert len(found.reading.warnings) == 4
    assert found.reading.warnings[3].startswith(
        "dates or times as categories: 27 other columns as well: 'd3', 'd4'"
    )
    assert found.reading.warnings[3].endswith("and 17 more")


def test_the_page_of_a_preview_lists_columns_and_warnings_and_escapes_them(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    found = examples_of(tmp_path, {evil: cells(row8=evil)})
    assert found.fit is not None
    ready = Examples(
        "t", found.fitted(np.arange(ROWS)).inputs, found.targets, found.classes, reading=found.reading
    )
    page = preview_html("s", "", 0, [], [data_read(evil, ready)], found.reading.warnings)
    assert "<script" not in page
    assert "How the data were read: &lt;script&gt;" in page
    assert "is read as text, 200 categories" in page


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("12", "plain"),
        ("-1.5e-3", "plain"),
        (".5", "plain"),
        ("12,5", "decimal comma"),
        ("1.234,56", "decimal comma"),
        ("1 234,5", "decimal comma"),
        ("1,234", "thousands"),
        ("1,234,567.89", "thousands"),
        ("1.234.567", "thousands"),
        ("1'234", "thousands"),
        ("€ 5", "unit"),
        ("5 kg", "unit"),
        ("$1,234.50", "unit"),
        ("< 0.1", "bound"),
        ("≥3", "bound"),
        ("39+", "bound"),
        ("85 and over", "bound"),
        ("0,100", "decimal comma"),
        ("-0,250", "decimal comma"),
        ("37°C", "unit"),
        ("−5", "other signs"),
        ("１２", "other signs"),
    ],
)
def test_what_a_person_reads_as_a_number(text: str, style: str) -> None:
    found = number_like(text)
    assert found is not None
    assert found.style == style


@pytest.mark.parametrize(
    "text", ["", "-", "abc", "A12", "18-65", "2024-01-01", "1.2.3", "1,23,4", "E10.1", "12:30", "0x1F"]
)
def test_what_nobody_reads_as_a_number(text: str) -> None:
    found = number_like(text)
    assert found is None or found.style == "unit"


# Models that meet them.


def test_whole_numbers_as_features_are_explained(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=np.arange(120).reshape(60, 2), targets=np.arange(60) % 2)
    with pytest.raises(
        BadInput, match=r"inputs are whole numbers \(int64\), .*as floats: inputs.astype\('float32'\)"
    ):
        prepare(config_of(dataset={"name": "arrays", "path": str(tmp_path / "a.npz")}))


def test_probabilities_are_told_from_scores() -> None:
    scores = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    assert kind_of_probabilities(scores.softmax(1)) == "probabilities that add up to 1, as after a softmax"
    assert kind_of_probabilities(scores.sigmoid()) == "numbers between 0 and 1, as after a sigmoid"
    for fine in (scores, scores.log_softmax(1), scores.relu(), torch.zeros(64, 5), scores.sigmoid()[:2, :2]):
        assert kind_of_probabilities(fine) == ""


def test_a_model_that_ends_in_a_softmax_is_said(own: Any) -> None:
    module = own(
        "from torch import nn\n"
        "def soft(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs), nn.Softmax(dim=1))\n"
        "def scores(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))\n"
    )
    said = cautions(prepare(config_of(model=f"{module}:soft")))
    assert any(
        "soft returns probabilities that add up to 1, as after a softmax, but the loss" in each
        for each in said
    )
    assert cautions(prepare(config_of(model=f"{module}:scores"))) == []


@pytest.mark.parametrize(("first", "said"), [(2**53 + 2, True), (10**20, True), (2**53 - ROWS, False)])
def test_whole_numbers_that_cannot_be_told_apart_are_said(tmp_path: Path, first: int, said: bool) -> None:
    warnings = examples_of(tmp_path, {"x": [first + at for at in range(ROWS)]}).reading.warnings
    expected = (
        "the column 'x' holds whole numbers beyond 9,007,199,254,740,992, which are read as the next of those that 64 "
        "bits can hold; name it in `drop` or `categorical` if these are ids"
    )
    assert (expected in warnings) is said


def test_a_regression_of_one_value_is_said(tmp_path: Path) -> None:
    warnings = examples_of(tmp_path, {"x": cells(), "y": [1.5] * ROWS}).reading.warnings
    assert "the target column 'y' is 1.5 in every row, so there is nothing to predict" in warnings
