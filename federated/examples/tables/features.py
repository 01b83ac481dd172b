"""Conversion of table columns to numbers, with a preprocessing that is fitted on training rows only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from federated.examples.examples import Complaint
from federated.examples.reading import counted
from federated.examples.tables.mostly_numbers import cells_in_words, cure, mostly_numbers
from federated.machine.large_arrays import blocks_of, room, too_large
from federated.preprocessing.number_marks import Marks, number_read
from federated.preprocessing.preprocessing import Fitted, Preprocessing
from federated.preprocessing.raw_tables import inputs_of_table

ColumnKind = Literal["numeric", "categorical"]

MOST_CATEGORIES = 1000
"""More distinct texts than this are names or prose, not categories."""

_MOMENTS = ("median", "mean", "scale")
_FEWEST_ABOVE_TOTALS = 5
_NUMBERS = ("integer", "floating", "decimal", "mixed-integer-float")
_TEXTS = ("string", "boolean", "mixed-integer")


def fit_of(
    cleaned: pd.DataFrame,
    kinds: Mapping[str, ColumnKind],
    marks: Marks | None = None,
    missing_values: Sequence[str] = (),
) -> Callable[[np.ndarray], Fitted]:
    """The `fit` of `Examples`, of cleaned columns: inputs float32 [N, features], and how raw rows become such.

    marks: of the numbers in the CSV file that the table is from, if any. missing_values: texts that stand for a missing
    value in raw rows; `cleaned` has none left.

    Everything in it is learnt from the training rows:

    - numeric: a missing value becomes the median, then (x - mean) / standard deviation (dividing by n; a
      constant column becomes 0). A column with gaps adds an indicator, 1 where it is missing; one without a
      single value among the training rows is left out.
    - categorical: one column of 0 and 1 for each category; missing is a category of its own; a category
      that the training rows do not have is all zeros.
    """
    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    categorical = [name for name in kinds if name not in numeric]
    return partial(_fitted, cleaned, numeric, categorical, marks or Marks(), list(missing_values))


def kind_of(column: pd.Series[Any], bad: Complaint) -> ColumnKind:
    """Numbers are numeric; text, booleans and pandas categories are categorical; all else is refused."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "categorical"
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return "numeric"
    held = "string" if isinstance(column.dtype, pd.CategoricalDtype) else pd.api.types.infer_dtype(column)
    if held in _NUMBERS or held == "empty":
        return "numeric"
    if held in _TEXTS:
        return "categorical"
    raise bad(f"the column {column.name!r} holds {held} values; drop it, or turn it into numbers or text")


def refuse_gaps(column: pd.Series[Any], bad: Complaint, cure: str) -> None:
    """Raise BadInput where a value is missing, with the first row (from 1) and what to do about it."""
    if len(gaps := np.flatnonzero(column.isna())):
        last = (
            " (the last one: does it hold totals?)"
            if gaps[0] == len(column) - 1 >= _FEWEST_ABOVE_TOTALS
            else ""
        )
        raise bad(
            f"the column {column.name!r} is missing in {len(gaps):,} of {len(column):,} rows, "
            f"the first is row {gaps[0] + 1}{last}; {cure}"
        )


def numbers_of(column: pd.Series[Any], bad: Complaint, marks: Marks | None = None) -> pd.Series[float]:
    """The column as float64, NaN where it is missing. Text that is no number and infinity are refused.

    marks: of the numbers in the CSV file that it is from, if any.
    """
    # Categories are taken apart first: pandas would return numbers of the same, categorical, dtype.
    column = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if (held := pd.api.types.infer_dtype(column)) not in (*_NUMBERS, *_TEXTS, "mixed", "empty"):
        raise bad(f"the column {column.name!r} must be numeric, but holds {held} values")
    converted, text = _converted(column, marks)
    if len(text):
        raise bad(
            f"the column {column.name!r} must be numeric, but {counted(len(text), 'value')} "
            f"{'is' if len(text) == 1 else 'are'} not, the first is "
            f"{column.iloc[text[0]]!r} in row {text[0] + 1}{_cure(column, marks)}"
        )
    if len(infinite := np.flatnonzero(np.isinf(converted))):
        raise bad(
            f"the column {column.name!r} holds {len(infinite):,} infinite values, "
            f"the first in row {infinite[0] + 1}"
        )
    return pd.Series(converted, name=column.name)


def _converted(column: pd.Series[Any], marks: Marks | None) -> tuple[np.ndarray, np.ndarray]:
    """(the column as float64 [N], the places of what is no number). A column of text is read as a whole: with decimal
    points, or with the marks of its file, whichever fits more of it."""
    present = column.notna().to_numpy()
    converted = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    text = np.flatnonzero(np.isnan(converted) & present)
    if not len(text) or marks is None:
        return converted, text
    read = {value: number_read(str(value), marks) for value in column[present].unique()}
    by_marks = pd.to_numeric(column.map(read).astype(object)).to_numpy(np.float64, na_value=np.nan)
    others = np.flatnonzero(np.isnan(by_marks) & present)
    return (by_marks, others) if len(others) < len(text) else (converted, text)


def categories_of(column: pd.Series[Any], bad: Complaint, marks: Marks | None = None) -> pd.Series[Any]:
    """The column as text, None where it is missing; more than `MOST_CATEGORIES` distinct ones are refused."""
    text = text_of(column)
    if (distinct := text.nunique()) > MOST_CATEGORIES:
        raise bad(
            f"the column {column.name!r} has {distinct:,} distinct texts, at most {MOST_CATEGORIES:,} can be "
            f"categories; name it in `drop`{_cure(text, marks)}"
        )
    return text


def _cure(column: pd.Series[Any], marks: Marks | None) -> str:
    """The conversion of a column that is mostly numbers into one of numbers; empty for any other."""
    codes, values = pd.factorize(text_of(column))
    texts = [str(value) for value in values]
    numbers = mostly_numbers(texts, np.bincount(codes[codes >= 0], minlength=len(texts)), marks)
    if numbers is None:
        return ""
    cells = cells_in_words(codes, texts, numbers)
    return f"; {numbers.share:.1%} of it are numbers; {cells}{cure(numbers, marks is not None)}"


def text_of(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column as Python strings, None where it is missing."""
    if pd.api.types.is_integer_dtype(column.dtype) or isinstance(column.dtype, pd.CategoricalDtype):
        codes, values = pd.factorize(column)  # equal texts are one object: millions of rows have few of them
        texts = np.array([*map(str, values.tolist()), None], object)
        return pd.Series(texts[codes], name=column.name, dtype=object)
    present = column.notna().to_numpy()
    text = np.array([None] * len(column), dtype=object)
    text[present] = [str(value) for value in column[present]]
    return pd.Series(text, name=column.name, dtype=object)


def _fitted(
    table: pd.DataFrame,
    numeric: list[str],
    categorical: list[str],
    marks: Marks,
    missing_values: list[str],
    training: np.ndarray,
) -> Fitted:
    """All rows transformed by what the training rows teach. Raises ValueError."""
    large = is_large(*table.shape)
    rows = None if large else table.iloc[training]

    def column(name: str) -> pd.Series[Any]:
        return table[name].iloc[training] if rows is None else rows[name]

    each = {name: column(name).notna().mean() for name in numeric} if rows is None else {}
    share_present = each if rows is None else rows[numeric].notna().mean()
    observed = [name for name in numeric if share_present[name] > 0]
    if not observed and not categorical:
        raise ValueError("no feature column has a value among the training examples")
    values = {
        "columns": list(table.columns),
        "numeric": observed,
        "gappy": [name for name in observed if share_present[name] < 1],
        "categorical": {name: _categories(column(name)) for name in categorical},
        "decimal": marks.decimal,
        "thousands": marks.thousands,
    }
    if rows is not None:
        arrays = _moments(rows[observed].to_numpy(np.float64))
        inputs = inputs_of_table(values, arrays, table)
    else:
        moments = [_moments(column(name).to_numpy(np.float64)[:, None]) for name in observed]
        arrays = {what: np.array([found[what][0] for found in moments]) for what in _MOMENTS}
        inputs = _in_blocks(values, arrays, table)
    finite = np.ones(inputs.shape[1], bool)
    for some in blocks_of(inputs):
        finite &= np.isfinite(inputs[some]).all(axis=0)
    if len(bad := np.flatnonzero(~finite)):
        raise ValueError(f"the numeric column {observed[bad[0]]!r} holds numbers too large to standardise")
    return Fitted(inputs, Preprocessing("table", {**values, "missing_values": missing_values}, arrays))


def is_large(rows: int, columns: int) -> bool:
    """Whether a table of so many cells of eight bytes is handled column by column, on disk."""
    return too_large(8 * rows * columns)


def _in_blocks(
    values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], table: pd.DataFrame
) -> np.ndarray:
    """What `inputs_of_table` makes of all rows, some rows at a time, on disk."""
    width = inputs_of_table(values, arrays, table.iloc[:1]).shape[1]
    inputs = room((len(table), width), np.float32)
    for some in blocks_of(inputs):
        inputs[some] = inputs_of_table(values, arrays, table.iloc[some])
    return inputs


def _categories(column: pd.Series[Any]) -> list[str | None]:
    """The distinct texts in sorted order; None, where one is missing, at the end."""
    return [*sorted(column.dropna().unique()), *([None] if column.isna().any() else [])]


def _moments(numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The median of numeric columns [n, columns], NaN where missing; mean and scale once it is filled in."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    if not numbers.shape[1]:
        return dict.fromkeys(_MOMENTS, np.empty(0))
    with np.errstate(over="ignore", invalid="ignore"):
        imputer = SimpleImputer(strategy="median").fit(numbers)
        scaler = StandardScaler().fit(imputer.transform(numbers))
    return {"median": imputer.statistics_, "mean": scaler.mean_, "scale": scaler.scale_}
