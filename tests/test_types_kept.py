"""Values keep their meaning on the way in, whatever type they come in, or are refused by name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from federated.datasets import DATASETS, Examples, as_examples
from federated.examples.examples import BadData
from federated.foundation.errors import BadInput
from federated.run.checks import check_runs
from federated.study.study import Run
from tests.conftest import config_of

INPUTS = np.arange(12, dtype=np.float32).reshape(6, 2)
LABELS = np.array([0, 1] * 3)
MASK = [False, True, False, False, False, False]
BIG = np.array([2**64 - 1, 1, 2, 3, 4, 5], np.uint64)
SECONDS = 1_700_000_000.0 + np.arange(6)


def given(**fields: Any) -> Examples:
    return as_examples({"inputs": INPUTS, "targets": LABELS, **fields}, "my:load")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "masked inputs": (
        {"inputs": np.ma.masked_array(INPUTS, mask=[[each, False] for each in MASK])},
        "inputs has masked values in 1 of 6 examples, the first is example 1",
    ),
    "masked rows in a list": (
        {"inputs": [np.ma.masked_array([1.0, 2.0], mask=[False, each]) for each in MASK]},
        "inputs has masked values in 1 of 6 examples",
    ),
    "masked classes": ({"targets": np.ma.masked_array(LABELS, mask=MASK)}, "targets has masked values"),
    "masked amounts": ({"targets": np.ma.masked_array(LABELS * 1.5, mask=MASK)}, "targets has masked values"),
    "masked clients": ({"client_ids": np.ma.masked_array(LABELS, mask=MASK)}, "client_ids has masked values"),
    "masked test split": ({"test": np.ma.masked_array(LABELS == 1, mask=MASK)}, "test has masked values"),
    "tokens beyond int64": ({"inputs": BIG}, "inputs holds whole numbers beyond .* 18446744073709551615"),
    "tokens of torch": ({"inputs": torch.tensor(BIG)}, "inputs holds whole numbers beyond"),
    "classes beyond int64": ({"targets": BIG}, "targets holds whole numbers beyond"),
    "classes as Python numbers": ({"targets": [2**70, 0, 1, 2, 3, 4]}, "targets holds whole numbers beyond"),
    "floats as classes": (
        {"targets": np.array([1e300, 0, 1, 2, 3, 4]), "classes": list("abcdef")},
        "targets holds whole numbers beyond .* 1e.300",
    ),
    "seconds as targets": (
        {"targets": SECONDS},
        "apart only in steps of 128; subtract a fixed number such as",
    ),
    "seconds as inputs": ({"inputs": SECONDS}, "inputs holds numbers from 1700000000 to 1700000005"),
    "one column of seconds": ({"inputs": np.stack([np.arange(6.0), SECONDS], axis=1)}, "from 1700000000 to"),
    "bytes of another code": (
        {"client_ids": [b"\xe9", b"b"] * 3},
        "client_ids holds bytes that are not UTF-8",
    ),
    "bytes of an array": (
        {"targets": np.array([b"\xe9", b"b"] * 3)},
        "targets holds bytes that are not UTF-8",
    ),
    "complex ids": ({"client_ids": LABELS + 1j}, "client_ids must be whole numbers or text, got complex128"),
    "complex inputs": ({"inputs": INPUTS + 1j}, "inputs must be numbers, got complex64"),
    "complex columns": ({"inputs": pd.DataFrame({"a": LABELS + 1j})}, "'a' holds complex values"),
    "no time": ({"client_ids": np.array(["2020-01-01", "NaT"] * 3, "M8[D]")}, "client_ids has 3 missing"),
    "nullable": ({"targets": pd.Series([1, None] * 3, dtype="Int64")}, "targets holds NaN"),
    "nullable truths": ({"targets": pd.Series([True, None] * 3, dtype="boolean")}, "targets has 3 missing"),
    "categories": ({"targets": pd.Series(pd.Categorical(["a", None] * 3))}, "targets has 3 missing"),
    "mixed ids": ({"client_ids": [1, "1"] * 3}, "client_ids must hold numbers or text of one kind"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_change_its_meaning_is_refused(what: str) -> None:
    fields, message = REFUSED[what]
    with pytest.raises(BadInput, match=message):
        given(**fields)


def test_masked_arrays_of_own_examples_are_refused() -> None:
    for field in ("inputs", "targets"):
        parts: dict[str, Any] = {"inputs": INPUTS, "targets": LABELS.astype(np.int64)}
        parts[field] = np.ma.masked_array(parts[field], mask=np.zeros_like(parts[field], bool))
        assert as_examples(Examples("e", classes=("a", "b"), **parts), "m").num_outputs == 2
        parts[field][1] = np.ma.masked
        with pytest.raises(BadInput, match=f"{field} has masked values"):
            Examples("e", classes=("a", "b"), **parts)


def test_what_has_one_meaning_is_read(tmp_path: Path) -> None:
    assert given(inputs=np.ma.masked_array(INPUTS)).inputs.tolist() == INPUTS.tolist()
    assert given(client_ids=[b"\xc3\xa9", b"b"] * 3).client_ids.tolist() == ["é", "b"] * 3
    assert given(targets=[b"yes", b"no"] * 3).classes == ("no", "yes")
    ids = given(client_ids=np.array([2**70, 2**70 + 1] * 3, object)).client_ids
    assert ids.tolist() == [str(2**70), str(2**70 + 1)] * 3
    assert given(client_ids=BIG).client_ids.tolist() == BIG.tolist()
    assert given(targets=SECONDS - SECONDS[0]).targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert given(targets=SECONDS * 1e6 * np.arange(1, 7)).targets.shape == (6,)


def test_text_in_bytes_of_parquet_is_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"y": [b"no", b"yes"] * 6, "site": [b"a", "é".encode(), b" a"] * 4, "kind": [b"u", None, b"v"] * 4}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    found = DATASETS["table"](tmp_path / "t.parquet", "y", client="site")()
    assert found.classes == ("no", "yes")
    assert found.client_ids is not None
    assert found.client_ids.tolist() == ["a", "é", "a"] * 4
    assert set(found.inputs["kind"].dropna()) == {"u", "v"}
    assert found.inputs["kind"].isna().sum() == 4
    frame.assign(site=[b"\xff", b"b"] * 6).to_parquet(tmp_path / "u.parquet")
    with pytest.raises(
        BadInput, match="client column 'site' holds bytes values; ids are text or whole numbers"
    ):
        DATASETS["table"](tmp_path / "u.parquet", "y", client="site")()


def test_whole_numbers_that_floats_do_not_tell_apart_are_classes_of_their_own(tmp_path: Path) -> None:
    codes = [2**53, 2**53 + 1, 2**53 + 2]
    frame = pd.DataFrame({"y": codes * 4, "x": range(12)})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    for file in ("t.parquet", "t.csv"):
        found = DATASETS["table"](tmp_path / file, "y")()
        assert found.classes == tuple(map(str, codes))
        assert found.targets.tolist() == [0, 1, 2] * 4
    gaps = pd.DataFrame({"y": [0, 1] * 6, "x": [float(2**53), 2.0**53 + 2, None] * 4})
    gaps.to_parquet(tmp_path / "g.parquet")
    with pytest.raises(BadInput, match="the column 'x' holds floats such as 9007199254740992"):
        DATASETS["table"](tmp_path / "g.parquet", "y", categorical=("x",))()


def test_all_that_is_wrong_with_a_table_is_said_at_once(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "y": [1.5, np.nan] * 30,
            "site": ["a", "b", None] * 20,
            "age": ["?", "7"] * 30,
            "lab": [np.inf] * 60,
            "gap": [1.0, np.nan] * 30,
            "fine": range(60),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    options: dict[str, Any] = {"client": "site", "numeric": ("age",), "missing": "error"}
    with pytest.raises(BadData) as error:
        DATASETS["table"](tmp_path / "t.csv", "y", **options)()
    lines = str(error.value).split("\n")
    assert lines[0] == "dataset: table: 5 columns cannot be used:"
    assert [line.partition(" column ")[2].split("'")[1] for line in lines[1:]] == [
        "y",
        "age",
        "lab",
        "gap",
        "site",
    ]
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.faults) == (str(error.value), error.value.faults)


def test_of_very_many_bad_columns_the_first_are_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": [0, 1] * 3, **{f"x{at}": [np.inf] * 6 for at in range(100)}})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(BadInput, match="100 columns cannot be used") as error:
        DATASETS["table"](tmp_path / "t.csv", "y")()
    assert str(error.value).endswith("- and 80 more")


def test_all_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": [0, 1] * 3, "Age": range(6), "b": range(6)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for file in ("t.csv", "t.parquet"):
        with pytest.raises(BadInput) as error:
            DATASETS["table"](tmp_path / file, "y", client="site", numeric=("age",), drop=("c", "b"))()
        for said in (
            "client column 'site'",
            "numeric column 'age'",
            "drop column 'c'",
            "its columns are: y, Age, b",
        ):
            assert said in str(error.value)
        assert "'b'" not in str(error.value)


def test_what_is_wrong_with_the_data_of_all_arms_is_of_no_arm(tmp_path: Path) -> None:
    for name, cell in (("bad", "inf"), ("good", "2")):
        rows = "".join(f"{at % 2},{cell if at == 3 else at}\n" for at in range(40))
        (tmp_path / f"{name}.csv").write_text("y,x\n" + rows)
    bad, good = (
        {"name": "table", "path": str(tmp_path / f"{name}.csv"), "target": "y"} for name in ("bad", "good")
    )
    with pytest.raises(BadInput, match=r"^dataset: table: the column 'x' holds"):
        check_runs([Run("slow", config_of(dataset=bad)), Run("fast", config_of(dataset=bad, rounds=7))])
    with pytest.raises(BadInput, match=r"^arm second: dataset: table: the column 'x' holds"):
        check_runs([Run("first", config_of(dataset=good)), Run("second", config_of(dataset=bad))])
