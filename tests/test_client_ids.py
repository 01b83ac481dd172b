"""Ids of clients are names: told apart as they are written, whatever they look like and wherever they come from."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.config.run import RunConfig
from federated.datasets import DATASETS, Examples, as_examples
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput

HUGE = [2**63 + 1, 2**63 + 2, 2**60 + 1, 2**60 + 2]


def table(folder: Path, ids: Any, parquet: bool = False, **arguments: Any) -> Examples:
    rows = 12
    frame = pd.DataFrame({"x": np.arange(rows) / 7, "y": np.arange(rows) % 2})
    frame["site"] = [ids[at % len(ids)] for at in range(rows)] if isinstance(ids, list) else ids
    path = folder / ("t.parquet" if parquet else "t.csv")
    if parquet:
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return DATASETS["table"](path, "y", client="site", **arguments)()


def names_of(examples: Examples) -> list[str]:
    assert examples.client_ids is not None
    return sorted(set(map(str, examples.client_ids.tolist())))


@pytest.mark.parametrize(
    "ids",
    [
        ["001", "01", "1", "002"],
        ["NA", "None", "null", "nan", "DE"],
        ["1.0", "1", "1.00"],
        ["9007199254740993", "9007199254740992"],
        ["18446744073709551617", "18446744073709551616", "3"],
        ["1e5", "100000"],
        ["+49", "49"],
        ["TRUE", "True"],
        ["1,234", "1234"],
        ["0x10", "16"],
        ["2024-01-01", "01.01.2024"],
    ],
)
def test_ids_in_a_file_are_told_apart_as_they_are_written(tmp_path: Path, ids: list[str]) -> None:
    assert names_of(table(tmp_path, ids)) == sorted(ids)
    assert names_of(table(tmp_path, ids, parquet=True)) == sorted(ids)


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (np.array(HUGE * 3, np.uint64), map(str, HUGE)),
        (pd.array([*HUGE[2:]] * 6, "int64"), map(str, HUGE[2:])),
        ([Decimal(10**30 + at % 3) for at in range(12)], (str(10**30 + at) for at in range(3))),
        (pd.array([1, 2] * 6, "Int64"), ("1", "2")),
        (pd.Categorical(["01", "1"] * 6), ("01", "1")),
        ([True, False] * 6, ("False", "True")),
    ],
)
def test_ids_of_parquet_keep_every_digit(tmp_path: Path, column: Any, names: Any) -> None:
    assert names_of(table(tmp_path, column, parquet=True)) == sorted(names)


def test_floats_that_no_longer_tell_ids_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="client column 'site' holds floats such as 9007199254740992, which cannot tell"
    ):
        table(tmp_path, [2.0**53, 1.0] * 6, parquet=True)
    with pytest.raises(BadInput, match=r"'site' is missing in 4 of 12 rows.* reads whole numbers as floats"):
        table(tmp_path, [1.0, 2.0, np.nan] * 4, parquet=True)


def test_plain_whole_numbers_stay_numbers(tmp_path: Path) -> None:
    for parquet in (False, True):
        ids = table(tmp_path, [10, 2, -1, 0], parquet=parquet).client_ids
        assert ids is not None
        assert ids.dtype == np.int64
        assert ids[:4].tolist() == [10, 2, -1, 0]


@pytest.mark.parametrize(
    ("ids", "names", "sentence"),
    [
        (
            ["Nord", "Nord ", "Ulm"],
            ["Nord", "Ulm"],
            "has 'Nord', 'Nord ', which are read as one client 'Nord'",
        ),
        (
            ["Nord", "Nord\u00a0", "Ulm"],
            ["Nord", "Ulm"],
            r"has 'Nord', 'Nord\u00a0', which are read as one client",
        ),
        (["Süd", "Su\u0308d", "Ulm"], ["Süd", "Ulm"], "(decomposed)"),
        (["\ufeffA", "A", "\u200bA", "B"], ["A", "B"], r"'A', '\u200bA', '\ufeffA', which are read as one"),
        (["nord", "Nord"], ["Nord", "nord"], "has 'Nord', 'nord', which are read as 2 clients"),
        (["St  Anna", "St Anna"], ["St  Anna", "St Anna"], "which are read as 2 clients"),
        (["001", "1"], ["001", "1"], "has '001', '1', which are read as 2 clients"),
        (
            ["DE", "NA"],
            ["DE", "NA"],
            "has a client 'NA' of 6 rows, which is read as its name; if it stands for",
        ),
        (["a"], ["a"], "is 'a' in every row: one client"),
        ([f"r{at}" for at in range(12)], [f"r{at}" for at in range(12)], "is different in each of 12 rows"),
        (["Klinik 1", "Klinik 2", "A1", "A10"], ["A1", "A10", "Klinik 1", "Klinik 2"], ""),
    ],
)
def test_spaces_make_no_clients_and_near_names_are_said(
    tmp_path: Path, ids: list[str], names: list[str], sentence: str
) -> None:
    found = table(tmp_path, ids, parquet=True)
    assert names_of(found) == sorted(names)
    assert len(found.reading.warnings) == (sentence != "")
    assert all(sentence in each for each in found.reading.warnings)


def test_only_an_empty_id_is_missing_unless_a_word_is_stated_to_be(tmp_path: Path) -> None:
    for ids, options in (
        (["a", "", "b"], {}),
        (["a", "  ", "b"], {}),
        (["a", "NA", "b"], {"missing_values": ("NA",)}),
    ):
        with pytest.raises(
            BadInput,
            match="the column 'site' is missing in 4 of 12 rows, the first is row 2; remove these rows, or write",
        ):
            table(tmp_path, ids, **options)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([2**70, 1, 2**70 + 1], ["1", str(2**70), str(2**70 + 1)]),
        ([2**63, -1, 5], ["-1", "5", str(2**63)]),
        (pd.Series([2**70, 1, 3]), ["1", "3", str(2**70)]),
        (["01", "1", "1 "], ["01", "1"]),
        (np.array(["a ", "a", "b"]), ["a", "b"]),
        (np.array([b"a ", b"a", b"b"]), ["a", "b"]),
        (np.array([1, 2, 2**64 - 1], np.uint64), ["1", "18446744073709551615", "2"]),
        ([1.0, 2.0, 2.0], ["1.0", "2.0"]),
    ],
)
def test_ids_of_own_code_and_arrays(tmp_path: Path, ids: Any, names: list[str]) -> None:
    inputs, targets = [[1.0], [2.0], [3.0]], [0, 1, 0]
    assert names_of(as_examples((inputs, targets, ids), "my.module:load")) == sorted(names)
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert names_of(as_examples((frame, targets, ids), "my.module:load")) == sorted(names)
    if isinstance(ids, np.ndarray):
        np.savez(tmp_path / "a.npz", inputs=inputs, targets=targets, client_ids=ids)
        assert names_of(DATASETS["arrays"](tmp_path / "a.npz")()) == sorted(names)


def test_what_is_odd_in_ids_and_labels_of_own_code_is_said() -> None:
    ids, labels = ["Nord", "Nord ", "Süd", "süd"], ["no", "No", "no", "no"]
    for inputs in ([[1.0], [2.0], [3.0], [4.0]], pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]})):
        assert as_examples((inputs, labels, ids), "my.module:load").reading.warnings == (
            "targets has 'No', 'no', which are read as 2 classes",
            "the client column 'client_ids' has 'Nord', 'Nord ', which are read as one client 'Nord'",
            "the client column 'client_ids' has 'Süd', 'süd', which are read as 2 clients; make them one in the file "
            "if they are",
        )


def test_an_empty_id_is_missing_in_parquet_too(tmp_path: Path) -> None:
    for ids in (["a", "", "b"], ["a", "\u200b ", "b"], ["a", None, "b"]):
        with pytest.raises(
            BadInput,
            match="the column 'site' is missing in 4 of 12 rows, the first is row 2; remove these rows, or write",
        ):
            table(tmp_path, ids, parquet=True)


@pytest.mark.parametrize("ids", [["a", "", "b"], [2.0**53, 1.0, 2.0]])
def test_own_ids_that_are_none_are_refused(ids: list[Any]) -> None:
    with pytest.raises(BadInput, match=r"client_ids (has 1 missing values|holds floats)"):
        as_examples(([[1.0], [2.0], [3.0]], [0, 1, 0], ids), "my.module:load")


def federation(path: Path, **config: Any) -> Federation:
    dataset = {"name": "table", "path": str(path), "target": "y", "client": "site"}
    base = {"dataset": dataset, "partitioner": "by_client", "model": "logistic", "rounds": 1}
    return partition_clients(RunConfig.model_validate({**base, **config}))


def test_a_client_column_of_numbers_is_still_a_column_of_numbers(tmp_path: Path) -> None:
    table(tmp_path, [10, 9, 2, 1])
    assert federation(tmp_path / "t.csv").names == ("1", "2", "9", "10")
    bands = federation(tmp_path / "t.csv", partitioner="by_column(site)", clients=2)
    ids = bands.examples.client_ids
    assert ids is not None
    assert max(ids[bands.clients[0]]) <= min(ids[bands.clients[1]])


def test_numbers_among_names_come_by_their_value(tmp_path: Path) -> None:
    table(tmp_path, ["10", "9", "north", "002"])
    assert federation(tmp_path / "t.csv").names == ("002", "9", "10", "north")
