"""Parquet tables in memory, or column by column on disk where they are larger than half of it."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from federated.datasets.parquet.files import ParquetFiles, parquet_files
from federated.machine.kept import kept, stamps_of
from federated.machine.large_arrays import check_disk, growing, mapped, too_large

_VERSION = 2
_BYTES_A_CELL = 8
_SPELT = {"true": "True", "false": "False"}


def parquet_table(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    """The table of a Parquet file or a folder. wanted: columns that are needed, though they may be its index.

    One that is larger than half of the memory is written to columns under `$FEDSTUDY_HOME/datasets/read`, once, and
    mapped: texts are categories then, numbers as they are. Raises ValueError or OSError for a file that is none.
    """
    file = parquet_files(path)
    names = [name for name in file.schema.names if name in wanted or name not in file.index]
    cells = file.num_rows * len(names)
    if not too_large(_BYTES_A_CELL * cells):
        return file.frame(names) if path.is_dir() else pd.read_parquet(path)

    def make(folder: Path) -> None:
        check_disk(folder, _BYTES_A_CELL * cells)
        columns = [_write(folder / str(at), file, name) for at, name in enumerate(names)]
        (folder / "columns.json").write_text(json.dumps(columns), encoding="utf-8")

    files = {str(each): each.stat() for each in file.paths}
    return kept(
        "parquet",
        {"version": _VERSION, "file": stamps_of(files), "names": names},
        make,
        _read,
    )


def _write(path: Path, file: ParquetFiles, name: str) -> dict[str, Any]:
    """Write one column as an .npy file. Returns its name, and of texts their categories."""
    import pyarrow.types as kinds

    kind = file.schema.field(name).type
    plain = (
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_boolean(kind)
        or kinds.is_timestamp(kind)
    )
    gaps = any(batch.null_count for batch in file.batches(name))
    if kinds.is_decimal(kind) or (kinds.is_integer(kind) and gaps):
        return _write_numbers(path, file, name, np.dtype(np.float64))
    if plain and not (kinds.is_boolean(kind) and gaps):
        return _write_numbers(path, file, name, np.dtype(kind.to_pandas_dtype()))
    return _write_categories(path, file, name, kind)


def _write_numbers(path: Path, file: ParquetFiles, name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    with growing(path.with_suffix(".npy"), dtype) as array:
        for batch in file.batches(name):
            values = batch.to_pandas()
            array.add(
                values.to_numpy(dtype, na_value=np.nan) if dtype.kind == "f" else values.to_numpy(dtype)
            )
    return {"name": name, "categories": None}


def _write_categories(path: Path, file: ParquetFiles, name: str, kind: Any) -> dict[str, Any]:
    """Codes int32, -1 where a text is missing."""
    import pyarrow as pa

    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ValueError(
            f"the column {name!r} holds {kind} values; leave it out of the file, or turn it into numbers"
        )
    number_of: dict[str, int] = {}
    with growing(path.with_suffix(".npy"), np.int32) as codes:
        for batch in file.batches(name):
            texts = batch.cast(pa.string()).dictionary_encode()
            known = texts.dictionary.to_pylist()
            known = [_SPELT.get(each, each) for each in known] if pa.types.is_boolean(kind) else known
            numbers = np.array(
                [*(number_of.setdefault(each, len(number_of)) for each in known), -1], np.int32
            )
            codes.add(numbers[texts.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)])
    return {"name": name, "categories": list(number_of)}


def _read(folder: Path) -> pd.DataFrame:
    columns = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
    arrays = ((each, mapped(folder / f"{at}.npy")) for at, each in enumerate(columns))
    return pd.DataFrame(
        {each["name"]: _column(array, each["categories"]) for each, array in arrays}, copy=False
    )


def _column(array: np.ndarray, categories: list[str] | None) -> Any:
    return array if categories is None else pd.Categorical.from_codes(array, pd.Index(categories))
