"""Texts of which each next character or word is to be predicted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.text_files.blocks import UNREADABLE, format_of
from federated.datasets.text_files.stored import StoredTexts, stored_texts
from federated.datasets.wanted_file import check_file
from federated.examples.examples import Examples, bad_data
from federated.examples.reading import ColumnRead, Reading, Suspicion, counted, said
from federated.examples.tables.frame import as_written, client_ids_of
from federated.examples.texts.windows import Windows, most_frequent, windows_of
from federated.foundation.errors import BadInput
from federated.preprocessing.preprocessing import Preprocessing


def next_token(
    path: Path,
    text: str | tuple[str, ...],
    client: str | None = None,
    unit: Literal["word", "character"] = "character",
    length: int = 80,
    size: int = 100,
    lowercase: bool = False,
    separator: str = ",",
    encoding: str | None = None,
) -> Callable[[], Examples]:
    """Texts of which each next character or word is to be predicted: a language model. The task is `sequence`.

    path: a file of CSV, of JSON lines (.jsonl, one object a line) or .parquet, with a text in each row.
    text: the column with the text, or several, whose texts are joined.
    client: the column that says whose each text is, such as an author or a device.
    unit: characters (white space of any kind and number is one space), or words (letters and digits next to each
        other).
    length: a text is cut into examples of so many units; each unit of a text is predicted once, from those before it
        in its example. What is missing of the last one is padding, which is in no loss and no measure.
    size: of the vocabulary, the most frequent units of the whole file, as the names of classes are those of the whole
        data; all others are one class, "(other)".
    separator, encoding: as of `table`.

    `holdout: {by: groups(column=row)}` keeps the examples of one text together; otherwise some of them are trained on.
    The file is read a block at a time, once; what was read is kept under `$FEDSTUDY_HOME/datasets/read`.
    """
    columns = (text,) if isinstance(text, str) else text
    if not columns or client in columns:
        raise ValueError("text must name at least one column, which is not the client's")
    for field, value in {"length": length, "size": size}.items():
        if value < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")
    check_file(path, "a CSV, JSON lines or Parquet file is needed")
    form = CsvFormat(separator, encoding=encoding)
    if format_of(path) == "parquet" and form.stated():
        raise ValueError(
            f"{form.stated()[0]} is of text files, but path {path.name} is a Parquet file; leave it out"
        )
    rule: dict[str, Any] = {"unit": unit, "ngrams": 1, "lowercase": lowercase, "inputs": "words"}
    roles = [] if client is None else [("client", client)]
    wanted = [*(("text", name) for name in columns), *roles]

    def load() -> Examples:
        try:
            found = stored_texts(path, form, wanted, columns, [name for _, name in roles], rule)
        except BadInput:
            raise
        except UNREADABLE as error:
            raise bad_data("next_token", f"{path} cannot be read: {error}") from error
        if not len(found.units.numbers):
            raise bad_data("next_token", f"{path}: there is not a single {unit} in its texts")
        vocabulary = most_frequent(found.units, size)
        stated = {"columns": list(columns), "unit": unit, "lowercase": lowercase, "length": length}
        names = [found.units.names[number] for number in vocabulary]
        learnt = Preprocessing("next_token", {**stated, "vocabulary": names})
        return _examples(found, windows_of(found.units, vocabulary, length), learnt, client, path)

    return load


def _examples(
    found: StoredTexts, windows: Windows, learnt: Preprocessing, client: str | None, path: Path
) -> Examples:
    frame, units = found.others.frame, found.units
    sizes = np.diff(units.ends, prepend=0)
    empty = int((sizes == 0).sum())
    notes = (f"left out: {counted(empty, 'text')} of {len(sizes):,} without a unit",) if empty else ()
    read = [
        ColumnRead(
            str(name),
            "text",
            f"{len(sizes):,} texts of {sizes.mean():,.0f} units on average",
            0.0,
            windows.inputs.shape[1],
        )
        for name in found.texts.columns
    ]
    ids: np.ndarray | None = None
    suspicions: list[Suspicion] = []
    if client is not None:
        bad = partial(bad_data, "next_token")
        of_texts, suspicions = client_ids_of(frame[client], as_written(found.others.written, client), bad)
        ids = of_texts[windows.owners]
        read.append(ColumnRead(client, "client", f"{len(np.unique(of_texts)):,} clients", 0.0, 0))
    by_text = frame.reindex(range(len(sizes)))  # a file of nothing but texts leaves no columns, nor rows
    properties = by_text.iloc[windows.owners].reset_index(drop=True)
    return Examples(
        "next_token",
        windows.inputs,
        windows.targets,
        None,
        ids,
        source=str(path),
        properties=properties if "row" in properties else properties.assign(row=windows.owners + 1),
        reading=Reading(tuple(read), (*found.others.notes, *notes, *said(suspicions))),
        preprocessing=learnt,
        position_classes=("(other)", *learnt.values["vocabulary"]),
    )
