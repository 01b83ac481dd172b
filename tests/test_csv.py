"""CSV as people have it: options give the clean table, and every file that is none gets one sentence that helps."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.choices.choice import Choice
from federated.config.run import RunConfig
from federated.datasets import DATASETS, Examples
from federated.datasets.table import ADDED_LATER
from federated.foundation.errors import BadInput

CLEAN = "site,a,b,y\nKöln,1.5,1000,0\nUlm,,2500,1\nKöln,3.25,750,1\nUlm,4,-1250,0\n"


def read(folder: Path, content: str | bytes, name: str = "p.csv", **arguments: Any) -> Examples:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    stated = {"target": "y", "client": "site", **arguments}
    return DATASETS["table"](folder / name, **stated)()


def packed(text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("p.csv", text)
    return buffer.getvalue()


def german(text: str) -> str:
    """The same table as a German spreadsheet writes it."""
    rows = [line.split(",") for line in text.splitlines()]
    cells = [[re.sub(r"^(-?\d)(\d{3})$", r"\1.\2", cell.replace(".", ",")) for cell in row] for row in rows]
    return "".join(";".join(row) + "\r\n" for row in cells)


SAME: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "byte order mark": ("\ufeff" + CLEAN, {}),
    "UTF-16 from Excel": (CLEAN.replace(",", "\t").encode("utf-16"), {"separator": "\t"}),
    "UTF-16 without a mark": (CLEAN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "UTF-32": (CLEAN.encode("utf-32"), {}),
    "Windows": (CLEAN.replace("\n", "\r\n").encode("cp1252"), {"encoding": "cp1252"}),
    "sentinels": (
        CLEAN.replace(",,", ",not done,"),
        {"missing_values": ("not done", "?")},
    ),
    "numeric sentinel": (CLEAN.replace(",,", ",-999,"), {"missing_values": ("-999",)}),
    "German": (german(CLEAN), {"separator": ";", "decimal": ",", "thousands": "."}),
    "thousands": (re.sub(r"(\d)(\d{3}),", r'"\1,\2",', CLEAN).replace('-"1', '"-1'), {"thousands": ","}),
    "spaces as thousands": (re.sub(r"(\d)(\d{3}),", "\\1\u00a0\\2,", CLEAN), {"thousands": "\u00a0"}),
    "no header": (CLEAN.partition("\n")[2], {"names": ("site", "a", "b", "y")}),
    "another header": (CLEAN.replace("site,a", "Ort,Alter"), {"header": 1, "names": ("site", "a", "b", "y")}),
    "sep line": ("sep=,\n" + CLEAN, {"header": 2}),
    "lines above rows": (
        "exported 2024\n" + CLEAN.partition("\n")[2],
        {"header": 1, "names": ("site", "a", "b", "y")},
    ),
    "lines above": ("exported 2024,,\n\n" + CLEAN, {"header": 3}),
}


@pytest.mark.parametrize("what", SAME)
def test_options_give_the_clean_table(tmp_path: Path, what: str) -> None:
    content, options = SAME[what]
    clean, found = read(tmp_path, CLEAN), read(tmp_path, content, **options)
    assert found.digest == clean.digest
    assert [(each.role, each.inputs) for each in clean.reading.columns] == [
        ("client", 0),
        ("numeric", 2),
        ("numeric", 1),
        ("target", 0),
    ]
    assert clean.reading.warnings == ()


def test_columns_of_a_file_without_names_are_numbered(tmp_path: Path) -> None:
    rows = CLEAN.partition("\n")[2]
    found = read(tmp_path, rows, header=0, target="4", client="1")
    assert list(found.inputs.columns) == ["2", "3"]
    assert found.classes == ("0", "1")


def test_a_text_may_be_a_book_and_a_file_packed(tmp_path: Path) -> None:
    book = CLEAN.replace("site", "note,site").replace("K", '"' + "x" * 200_000 + '",K').replace("Ulm", ",Ulm")
    clean = read(tmp_path, CLEAN)
    assert read(tmp_path, book, drop=("note",)).digest == clean.digest
    assert read(tmp_path, packed(CLEAN), "p.csv.zip").digest == clean.digest
    assert read(tmp_path, gzip.compress(("\ufeff" + CLEAN).encode()), "p.csv.gz").digest == clean.digest


def test_a_column_without_a_name_can_be_dropped(tmp_path: Path) -> None:
    numbered = "".join(f"{at - 1 if at else ''},{line}\n" for at, line in enumerate(CLEAN.splitlines()))
    assert read(tmp_path, numbered, drop=("Unnamed: 0",)).digest == read(tmp_path, CLEAN).digest


def test_a_number_may_stand_for_missing(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CLEAN.replace(",,", ",-999,"))
    dataset = {"name": "table", "path": str(tmp_path / "p.csv"), "target": "y", "missing_values": [-999, "?"]}
    config = RunConfig.model_validate({"dataset": dataset, "clients": 2, "model": "logistic", "rounds": 1})
    assert config.dataset.build()().inputs["a"].isna().sum() == 1


def test_a_mark_is_taken_out_of_groups_of_three_digits_only(tmp_path: Path) -> None:
    """pandas' own option would read 01.02.2020 as 1022020."""
    text = "d;v;y\n01.02.2020;1.234,5;0\n11.12.2021;1,5;1\n"
    found = read(tmp_path, text, client=None, separator=";", decimal=",", thousands=".")
    assert found.inputs["d"].tolist() == ["01.02.2020", "11.12.2021"]
    assert found.inputs["v"].tolist() == [1234.5, 1.5]
    assert any("'d' holds dates" in each for each in found.reading.warnings)


NOT_CSV: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "empty": (b"", {}, "it is empty"),
    "blank": ("\n  \n", {}, "it is empty"),
    "workbook": (packed(CLEAN), {}, "it is an Excel workbook or a zip archive; save the sheet"),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1", {}, r"old Excel workbook \(.xls\)"),
    "gzip": (gzip.compress(CLEAN.encode()), {}, r"compressed with gzip; give it a name that ends in .csv.gz"),
    "parquet": (b"PAR1 more", {}, "is a Parquet file; give it a name that ends in .parquet"),
    "page": ("<!DOCTYPE html>\n<html><body>Log in</body></html>", {}, r"is a web page \(HTML\)"),
    "JSON": ('[{"a": 1}]', {}, "is JSON"),
    "ARFF": ("% made by Weka\n@RELATION x\n@DATA\n1\n", {}, r"is an ARFF file \(Weka\); save it as CSV"),
    "sep line": ("sep=;\n" + CLEAN, {}, 'its first line, .sep=;., .*state `header: 2` and `separator: ";"`'),
    "latin-1": (
        CLEAN.encode("latin-1"),
        {},
        "line 2 is not UTF-8; .* with cp1252, .* reads 'Köln,1.5,1000,0'",
    ),
    "euro": ("site,y\n5 €,0\n6,1\n".encode("cp1252"), {}, "with cp1252, .* it reads '5 €,0'"),
    "wrong encoding": (
        CLEAN,
        {"encoding": "latin-1"},
        "it is UTF-8, but `encoding: latin-1` would read 'KÃ¶ln' for",
    ),
    "other encoding": (CLEAN.encode("cp1252"), {"encoding": "utf-16"}, "is not utf-16|UTF-16"),
    "UTF-16 without a mark": (CLEAN.encode("utf-16-le"), {}, "state `encoding: utf-16-le`"),
    "no text": (
        b"\x01\x14\0\n\xff\xfa\0",
        {},
        "NUL characters, the first in line 1, so it is no CSV file",
    ),
    "NUL": (CLEAN.replace("750", "\0\0"), {}, "NUL characters, the first in line 4"),
    "semicolons": (CLEAN.replace(",", ";"), {}, 'is the separator right. State `separator: ";"`'),
    "tabs": (CLEAN.replace(",", "\t"), {}, r'State `separator: "\\t"`'),
    "German numbers": (german(CLEAN), {}, 'State `separator: ";"`'),
    "no header": (
        CLEAN.partition("\n")[2],
        {},
        r"no header \('Köln' looks like a value\), state `names: \[...\]`",
    ),
    "repeated, no header": ("x,1,1,0\nz,2,2,1\n", {}, "'1' is there more than once; .* state `names"),
    "capitals": (
        CLEAN.replace("site", " Site "),
        {},
        "client column 'site' is not in .* did you mean 'Site '",
    ),
    "long row": (CLEAN + "Ulm,1,2,3,4\n", {}, "line 6 has 5 fields, those before have 4"),
    "decimal comma": (CLEAN.replace("1.5,", "1,5,"), {}, "row 1 has 5 fields, the header 4"),
    "row names": (CLEAN.replace("site,a", "a").replace("Köln", "1,Köln"), {}, "client column 'site'"),
    "title": (
        "Export\n\n" + CLEAN,
        {},
        "the target column 'y', the client column 'site' are not in .* line 3 has them: state `header: 3`",
    ),
    "no name": (
        CLEAN.replace("a,", ","),
        {},
        "a column has no name, which is often a saved row number; name it",
    ),
    "ends": (
        CLEAN.replace("\n", ",\n"),
        {},
        "has no name, which is often a separator at the end of every line",
    ),
    "ends of rows": (
        CLEAN.replace("0\n", "0,\n"),
        {},
        "row 1 has 5 fields, the header 4; take the separators at",
    ),
    "quote": (CLEAN.replace("750", '"750'), {}, "a quotation mark .* is never closed"),
    "names": (CLEAN, {"names": ("a", "b")}, "`names` has 2 names, but row 1 has 4 fields"),
    "names again": (
        CLEAN,
        {"names": ("site", "a", "b", "y")},
        "first line holds the names of the columns; leave",
    ),
    "header below the end": (CLEAN, {"header": 9}, "there is no line 9 with names"),
}


@pytest.mark.parametrize("what", NOT_CSV)
def test_a_file_that_is_no_such_csv_gets_one_sentence(tmp_path: Path, what: str) -> None:
    content, options, message = NOT_CSV[what]
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path, content, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimal": ",", "thousands": ","}, "thousands must be another mark than decimal"),
        ({"decimal": ",,"}, "decimal must be one character, got ',,'"),
        ({"thousands": "0"}, "thousands must be a mark such as a comma or a point, got '0'"),
        ({"separator": "\\t"}, r'a tab is "\\t", in double quotes'),
        ({"encoding": "utf-99"}, "encoding 'utf-99' is not known; such as utf-8, cp1252"),
        ({"encoding": "base64"}, "encoding 'base64' is not known"),
        ({"missing_values": ("",)}, "missing_values must not hold an empty text"),
        ({"header": -1}, "header must be the number of the line"),
        ({"names": ()}, "names must name the columns, got none"),
        ({"names": ("a", "a")}, "names must differ, got 'a' more than once"),
    ],
)
def test_contradicting_options_are_refused_before_loading(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "p.csv").touch()
    with pytest.raises(ValueError, match=message):
        DATASETS["table"](tmp_path / "p.csv", "y", **options)


def test_options_of_csv_are_refused_for_parquet(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").touch()
    with pytest.raises(ValueError, match=r"decimal is of CSV files, but path p\.parquet is Parquet"):
        DATASETS["table"](tmp_path / "p.parquet", "y", decimal=",")


def test_rows_that_are_too_short_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, "site,y,a,b\nu,0,1,2\nv,1,3\nu,1,2,\nv,0\n")
    assert found.reading.warnings[0].startswith(
        "p.csv: 2 rows have fewer fields than the 4 columns, the first, in line 3"
    )
    assert not any("fewer fields" in each for each in read(tmp_path, CLEAN).reading.warnings)


def test_run_keys_of_studies_that_state_none_of_the_options_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(CLEAN, encoding="utf-8")

    def config(**options: Any) -> RunConfig:
        dataset = {"name": "table", "path": str(tmp_path / "p.csv"), "target": "y", "client": "site"}
        base = {
            "dataset": {**dataset, **options},
            "partitioner": "by_client",
            "model": "logistic",
            "rounds": 2,
        }
        return RunConfig.model_validate(base)

    plain = config()
    stated = "path target client task numeric categorical drop missing separator"
    older = {name: plain.dataset.arguments[name] for name in stated.split()}
    before = plain.model_copy(update={"dataset": Choice.model_construct(name="table", arguments=older)})
    assert plain.run_key() == before.run_key()
    others: dict[str, Any] = {
        "missing_values": ["?"],
        "decimal": ",",
        "thousands": "'",
        "encoding": "cp1252",
        "header": 1,
        "names": ["a"],
        "weights": "b",
    }
    assert others.keys() == ADDED_LATER.keys()
    keys = {config(**{name: value}).run_key() for name, value in others.items()}
    assert len(keys | {plain.run_key()}) == 8


def test_numbers_are_those_that_pandas_reads(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(50, 2)) * 1e3
    text = "y,a,b\n" + "".join(f"{at % 2},{a!r},{b:.17g}\n" for at, (a, b) in enumerate(numbers.tolist()))
    found = read(tmp_path, text, client=None)
    expected = pd.read_csv(io.StringIO(text))
    np.testing.assert_array_equal(found.inputs.to_numpy(), expected[["a", "b"]].to_numpy())


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        (("01", "1", "2"), {"01", "1", "2"}),
        (("0", "", "1"), {"0", "1"}),
        (("0123", "0456", "NA"), {"0123", "0456"}),
    ],
)
def test_categories_are_as_written(tmp_path: Path, cells: tuple[str, ...], categories: set[str]) -> None:
    text = "y,x\n" + "".join(f"{i % 2},{cells[i % 3]}\n" for i in range(12))
    examples = read(tmp_path, text, client=None, categorical=("x",))
    assert isinstance(examples.inputs, pd.DataFrame)
    assert set(examples.inputs["x"].dropna()) == categories


def test_whole_categories_of_parquet_with_gaps_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pd.DataFrame({"y": [0, 1] * 6, "x": [0.0, None, 1.0] * 4}).to_parquet(path)
    examples = DATASETS["table"](path, target="y", categorical=("x",))()
    assert isinstance(examples.inputs, pd.DataFrame)
    assert set(examples.inputs["x"].dropna()) == {"0", "1"}


def test_leading_zeros_of_an_inferred_column_are_said(tmp_path: Path) -> None:
    text = "y,x\n" + "".join(f"{i % 2},0{i % 3}123\n" for i in range(12))
    assert any("leading zeros" in said for said in read(tmp_path, text, client=None).reading.warnings)
    for kind in ("numeric", "categorical"):
        stated = read(tmp_path, text, client=None, **{kind: ("x",)})
        assert not any("leading zeros" in said for said in stated.reading.warnings)
