"""Texts of a file as they are kept at home: read and cut into words once, then mapped into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.text_files.blocks import Others, Wanted, other_columns, text_blocks
from federated.examples.tables.features import text_of
from federated.foundation.doing import doing
from federated.machine.kept import kept, stamps_of
from federated.machine.large_arrays import growing, mapped
from federated.preprocessing.raw_texts import PIECES, cut_texts, texts_of, units_of

_VERSION = 2
"""Of what is written and of how texts are cut; another number makes all of it anew."""


class Units(NamedTuple):
    """What the texts are made of. numbers: of the units of all texts one after another, int32. ends: where each text
    ends, int64 [N]. names: of the units, in the order of their numbers; none of word pieces, whose numbers are those of
    their vocabulary."""

    numbers: np.ndarray
    ends: np.ndarray
    names: list[str]


class Counted(NamedTuple):
    """marks: the units that every text has, an empty one too. cut: how many texts have more units than are kept."""

    marks: int = 0
    cut: int = 0


class StoredTexts(NamedTuple):
    """texts: the columns of texts [N, columns], mapped. others: every other column."""

    texts: pd.DataFrame
    others: Others
    units: Units
    counted: Counted


def stored_texts(
    path: Path,
    form: CsvFormat,
    wanted: Wanted,
    columns: Sequence[str],
    as_text: Sequence[str],
    rule: Mapping[str, Any],
) -> StoredTexts:
    """The texts of a file with a number for each unit; read now, or at an earlier time. Raises one of `UNREADABLE`.

    columns: of the texts. as_text: columns to keep as a CSV file writes them. rule: of `units_of` or `word_pieces`.
    """
    identity = {
        "version": _VERSION,
        "file": stamps_of({str(path): path.stat()}),
        "form": [repr(form), list(map(list, wanted)), list(columns), list(as_text)],
        "rule": hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest(),
    }

    def make(folder: Path) -> None:
        _write_others(folder, other_columns(path, form, wanted, columns, as_text))
        with doing(
            f"cutting the texts of {path.name} into {'tokens' if rule['inputs'] in PIECES else 'words'}"
        ):
            _write_texts(folder, text_blocks(path, form, wanted, columns), columns, rule)

    return kept("text", identity, make, _read)


def _write_texts(
    folder: Path, blocks: Iterator[pd.DataFrame], columns: Sequence[str], rule: Mapping[str, Any]
) -> None:
    import pyarrow as pa

    schema = pa.schema([(name, pa.large_string()) for name in columns])
    number_of: dict[str, int] = {}
    numbers_of = _numbering(rule, number_of)
    end, cut, is_cut = 0, 0, _cutting(rule)
    with ExitStack() as files:
        numbers = files.enter_context(growing(folder / "numbers.npy", np.int32))
        ends = files.enter_context(growing(folder / "ends.npy", np.int64))
        texts = files.enter_context(pa.ipc.new_file(str(folder / "texts.arrow"), schema))
        for frame in blocks:
            parts = [[_sound(text) for text in texts_of([name], frame)] for name in columns]
            texts.write_batch(pa.record_batch([pa.array(part, pa.large_string()) for part in parts], schema))
            whole = ["\n".join(lines) for lines in zip(*parts, strict=True)]
            found = [numbers_of(text) for text in whole]
            cut += sum(is_cut(text, numbers) for text, numbers in zip(whole, found, strict=True))
            sizes = np.cumsum([len(each) for each in found], dtype=np.int64)
            numbers.add(np.fromiter((number for each in found for number in each), np.int32, int(sizes[-1])))
            ends.add(end + sizes)
            end += int(sizes[-1])
    counted = Counted(len(numbers_of("")), cut)
    (folder / "names.json").write_text(json.dumps(list(number_of)), encoding="utf-8")
    (folder / "counted.json").write_text(json.dumps(counted), encoding="utf-8")


def _numbering(rule: Mapping[str, Any], number_of: dict[str, int]) -> Callable[[str], Sequence[int]]:
    """text -> the numbers of its units; new units get the next number in `number_of`."""
    if rule["inputs"] in PIECES:
        return PIECES[rule["inputs"]](rule)
    return lambda text: [number_of.setdefault(unit, len(number_of)) for unit in units_of(text, rule)]


def _cutting(rule: Mapping[str, Any]) -> Callable[[str, Sequence[int]], bool]:
    """(text, its units) -> whether it has more; never where all are kept."""
    if rule["inputs"] not in PIECES:
        return lambda text, units: False
    length = int(rule["length"])
    longer = cut_texts(rule, length)
    return lambda text, units: len(units) >= length and longer(text)


def _sound(text: str) -> str:
    """The text without halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _write_others(folder: Path, others: Others) -> None:
    _write_frame(folder / "others.parquet", others.frame)
    if others.written is not None:
        _write_frame(folder / "written.parquet", others.written)
    (folder / "notes.json").write_text(json.dumps(others.notes), encoding="utf-8")


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    """A table as Parquet; a column that holds values of several kinds as text."""
    import pyarrow as pa

    changed = {}
    for name in frame.columns:
        try:
            pa.array(frame[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            changed[name] = text_of(frame[name])
    frame.assign(**changed).to_parquet(path, index=False)


def _read(folder: Path) -> StoredTexts:
    import pyarrow as pa

    texts = pa.ipc.open_file(pa.memory_map(str(folder / "texts.arrow"))).read_all()
    frame = pd.DataFrame(
        {name: pd.array(texts[name], pd.ArrowDtype(pa.large_string())) for name in texts.column_names}
    )
    written = folder / "written.parquet"
    others = Others(
        pd.read_parquet(folder / "others.parquet"),
        pd.read_parquet(written).astype(object) if written.exists() else None,
        tuple(json.loads((folder / "notes.json").read_text(encoding="utf-8"))),
    )
    if others.written is not None:
        others = others._replace(written=others.written.where(others.written.notna(), None))
    names, counted = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("names", "counted")
    )
    units = Units(mapped(folder / "numbers.npy"), mapped(folder / "ends.npy"), names)
    return StoredTexts(frame, others, units, Counted(*counted))
