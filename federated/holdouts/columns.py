"""Columns of a data set: what is known of its examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from federated.examples.examples import Examples
from federated.foundation.texts import listed, meant

NATURAL_CLIENT = "client"
"""The name by which the natural clients of a data set are found where it has no column called so."""


def column_of(examples: Examples, name: str) -> pd.Series[Any]:
    """The values [N] of a column: of what is known of the examples, of a table's or an array's inputs, or their
    natural clients. Raises ValueError where there is none."""
    table = examples.properties if examples.properties is not None else examples.inputs
    names = list(map(str, table.columns)) if isinstance(table, pd.DataFrame) else []
    if name in names:
        return table.iloc[:, names.index(name)].reset_index(drop=True)
    if isinstance(table, np.ndarray) and table.ndim == 2:
        names = list(map(str, range(table.shape[1])))
        if name in names:
            return pd.Series(table[:, int(name)])
    if name == NATURAL_CLIENT and examples.client_ids is not None:
        return pd.Series(examples.client_ids)
    names += [NATURAL_CLIENT] if examples.client_ids is not None else []
    there = f"{meant(name, names)}the columns are: {listed(names)}" if names else "this data set has none"
    raise ValueError(f"there is no column {name!r}; {there}")


def texts_of(values: pd.Series[Any]) -> pd.Series[Any]:
    """The values as people write them, None where one is missing: whole numbers without a point."""
    return values.astype(object).map(as_text).where(values.notna(), None)


def as_text(value: Any) -> str:
    """`2` for 2 and 2.0, `true` for True, texts as they are."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def codes_of(examples: Examples, name: str) -> np.ndarray:
    """A number for each distinct value of a column, int64 [N]. Raises ValueError where one is missing."""
    texts = texts_of(column_of(examples, name))
    refuse_missing(name, texts.isna().to_numpy())
    return pd.factorize(texts)[0].astype(np.int64)


def refuse_missing(name: str, missing: np.ndarray) -> None:
    """Raise ValueError where a value of the column is missing."""
    if missing.any():
        raise ValueError(
            f"the column {name!r} is missing in {int(missing.sum()):,} of {len(missing):,} examples, the first is "
            f"example {int(missing.argmax())}; fill it or leave these examples out"
        )
