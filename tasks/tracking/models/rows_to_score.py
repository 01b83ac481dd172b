"""The rows of a file that a model is to score, read as the study that trained the model read its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.csv_files.read import read_csv
from federated.datasets.image_files.find import image_files
from federated.datasets.parquet.columns import parquet_table
from federated.datasets.parquet.files import is_folder_of_rows
from federated.datasets.text_files.blocks import format_of, text_blocks

_CSV_OPTIONS = ("separator", "missing_values", "decimal", "thousands", "encoding", "header", "names")
_BOOLEANS = {"true": "True", "false": "False"}
_IMAGES_AT_A_TIME = 512


class Trained(NamedTuple):
    """What is known of a model. rows: `name` and `values` of its `Preprocessing`; {} of a model of another kind.
    dataset: the arguments of the data set that it was trained on; {} where they are not known."""

    rows: Mapping[str, Any]
    dataset: Mapping[str, Any]


class Rows(NamedTuple):
    """blocks: raw rows, some at a time. files: their names, where each row is a file."""

    blocks: Iterator[Any]
    files: Sequence[str] | None = None


def rows_of(path: Path, trained: Trained) -> Rows:
    """The rows of a file or of a folder of Parquet files, or the images of a folder.

    Raises one of `UNREADABLE`, some as the blocks are read.
    """
    name = trained.rows.get("name")
    if name == "table" and is_folder_of_rows(path):
        return Rows(iter([parquet_table(path, ())]))
    if path.is_dir() and name == "text":
        raise ValueError("it is a folder, and texts are read from one file")
    if path.is_dir():
        names = image_files(path, trained.dataset.get("files")).names
        return Rows(_images(path, names), names)
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        return Rows(iter([_array(path)]))
    if name == "text":
        columns = list(trained.rows["values"]["columns"])
        wanted = [("text", name) for name in columns]
        return Rows(text_blocks(path, _format(trained.dataset), wanted, columns))
    return Rows(iter([_table(path, trained)]))


def _images(folder: Path, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    for first in range(0, len(names), _IMAGES_AT_A_TIME):
        some = names[first : first + _IMAGES_AT_A_TIME]
        yield pd.DataFrame({"image": [(folder / name).read_bytes() for name in some]})


def _array(path: Path) -> np.ndarray:
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    if "inputs" not in found.files:
        raise ValueError(f"it has no array 'inputs'; it has: {', '.join(found.files)}")
    return np.asarray(found["inputs"])


def _table(path: Path, trained: Trained) -> pd.DataFrame:
    kind = format_of(path)
    if kind == "parquet":
        return pd.read_parquet(path)
    if kind == "jsonl":  # values as they are: pandas would make dates of numbers, and numbers of texts
        return pd.read_json(
            path, lines=True, dtype=False, convert_dates=False, convert_axes=False, precise_float=True
        )
    return _csv(path, trained)


def _format(dataset: Mapping[str, Any]) -> CsvFormat:
    stated = {name: dataset[name] for name in _CSV_OPTIONS if dataset.get(name) is not None}
    stated |= {name: tuple(map(str, stated[name])) for name in ("missing_values", "names") if name in stated}
    return CsvFormat(**stated)


def _csv(path: Path, trained: Trained) -> pd.DataFrame:
    """Categories as the training file spelt them, whatever pandas makes of the other rows of this file."""
    values = trained.rows["values"] if trained.rows.get("name") == "table" else {}
    categorical: Mapping[str, Any] = values.get("categorical", {})
    table = read_csv(path, _format(trained.dataset), [], list(categorical), inferred=False)
    texts = {
        name: _spelt(table.written[name], table.frame[name], known, _of_csv(trained.dataset))
        for name, known in categorical.items()
        if name in table.written.columns
    }
    return table.frame.assign(**texts)


def _of_csv(dataset: Mapping[str, Any]) -> bool:
    return dataset.get("name") == "table" and format_of(Path(str(dataset.get("path")))) == "csv"


def _spelt(
    written: pd.Series[Any], read: pd.Series[Any], known: Sequence[str | None], of_csv: bool
) -> pd.Series[Any]:
    """A column of categories as text, None where it is missing. known: those of training; if pandas read booleans
    there, they are True and False. of_csv: training was from a CSV file; otherwise numbers may be spelt differently."""
    texts = written.where(read.notna(), None)
    if {text for text in known if text is not None} <= set(_BOOLEANS.values()):
        texts = texts.map(lambda text: text if text is None else _BOOLEANS.get(text.lower(), text))
    if of_csv:
        return texts
    return texts.where(texts.isin([text for text in known if text is not None]), read.astype(object))
