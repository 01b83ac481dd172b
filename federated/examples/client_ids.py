"""Client ids are names, even if they look like numbers: they are compared as written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas._libs.parsers import STR_NA_VALUES

from data_partitioners.ids import INVISIBLE, tidied
from federated.examples.examples import Complaint
from federated.examples.plain_arrays import plain_array
from federated.examples.reading import Suspicion, counted, named
from federated.examples.tables.features import refuse_gaps, text_of
from federated.foundation.texts import quoted

MISSING_WORDS = frozenset(STR_NA_VALUES) - {""}
"""What pandas reads as missing besides an empty field."""

_LIKE_MISSING = MISSING_WORDS | {
    "?",
    "-",
    "--",
    ".",
    "*",
    "missing",
    "unknown",
    "not done",
    "k.A.",
    "(blank)",
    "#REF!",
}

_WORDS_FOR_ALL = frozenset(
    ["total", "totals", "grand total", "subtotal", "sum", "all", "overall", "gesamt", "summe", "insgesamt"]
)

_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_INT64 = 2**63
_EXACT = 2**53
_MOST_SHOWN = 3
_NO_NAMES = ("bytes", "complex", "timedelta", "timedelta64", "interval", "unknown-array")
GAP_IN_NAMES = "remove these rows, or write a name there, such as `no site`, which makes one client of them"
_GAP_IN_FLOATS = "remove these rows, because of which pandas reads whole numbers as floats"


def tidied_column(written: pd.Series[Any]) -> pd.Series[Any]:
    """The names of a column, tidied, None where nothing is left of one."""
    read = {text: tidied(text) or None for text in written.dropna().unique()}
    texts = written.astype(object).map(read)
    return texts.where(texts.notna(), None)


def ids_of_texts(texts: Sequence[str]) -> np.ndarray:
    """Ids [N] of names: int64 where all are whole numbers written plainly, text otherwise."""
    distinct = set(texts)
    if all(_WHOLE.fullmatch(text) and -_INT64 <= int(text) < _INT64 for text in distinct):
        return np.array([int(text) for text in texts], np.int64)
    return np.array(texts)


def ids_of_column(column: pd.Series[Any], bad: Complaint) -> tuple[np.ndarray, list[str]]:
    """(ids [N] of a column that is not from a text file, the same as they were written). None may be missing."""
    held = pd.api.types.infer_dtype(column, skipna=True)
    if held in _NO_NAMES or held.startswith("mixed"):
        raise bad(f"{named(column.name, 'client ')} holds {held} values; ids are text or whole numbers")
    if pd.api.types.is_float_dtype(column.dtype):
        refuse_gaps(column, bad, _GAP_IN_FLOATS)
        check_exact(named(column.name, "client "), column.to_numpy(np.float64), bad)
    written = text_of(column)
    texts = tidied_column(written)
    refuse_gaps(texts, bad, GAP_IN_NAMES)
    whole = pd.api.types.is_integer_dtype(column.dtype)
    return ids_of_texts(texts.tolist()) if whole else np.array(texts.tolist()), written.tolist()


def as_client_ids(values: Any, bad: Complaint) -> tuple[np.ndarray, list[Suspicion]]:
    """(ids [N] of a person's own code, what looks like a mistake): whole numbers of any size, or text, tidied."""
    if isinstance(values, pd.Series | np.ndarray) and values.dtype == object:
        values = values.tolist()
    if isinstance(values, list | tuple) and all(type(value) is int for value in values):
        # numpy makes floats of integers of different signs and sizes.
        small = all(-_INT64 <= value < _INT64 for value in values)
        values = values if small else [str(value) for value in values]
    array = plain_array("client_ids", values, bad)
    if array.dtype.kind not in "biufUMm":
        raise bad(f"client_ids must be whole numbers or text, got {array.dtype}")
    if array.dtype.kind == "f" and np.isfinite(array).all():
        check_exact("client_ids", array, bad)
    if array.dtype.kind != "U" or array.ndim != 1:
        return array, []
    written = array.tolist()
    texts = [tidied(text) for text in written]
    if "" in texts:
        raise bad(f"client_ids has {texts.count('')} missing values, the first is example {texts.index('')}")
    ids = np.array(texts)
    return ids, list(suspicions_of_ids("client_ids", written, ids, "leave these examples out"))


def check_exact(what: str, numbers: np.ndarray, bad: Complaint) -> None:
    """Raise if floats are so large that neighbouring ids would be merged."""
    if len(large := np.flatnonzero(np.abs(numbers) >= _EXACT)):
        raise bad(
            f"{what} holds floats such as {numbers[large[0]]:.0f}, which cannot tell ids of so many digits apart; "
            "store them as whole numbers or as text"
        )


def suspicions_of_ids(
    name: str, written: Sequence[str], ids: np.ndarray, cure: str = "name it in `missing_values`"
) -> Iterator[Suspicion]:
    """Warnings about likely mistakes in the ids of clients.

    written: the ids before they were tidied, [N]. cure: of a word that stands for a missing id.
    """
    column = named(name, "client ")
    for text, spellings in merged(written):
        sentence = f"{column} has {spellings}, which are read as one client {quoted(text)}"
        yield Suspicion("client: spaces around names", name, sentence)
    names = {tidied(text) for text in dict.fromkeys(written)}
    yield from _alike(name, column, sorted(names))
    counts = pd.Series(ids.astype(str) if ids.dtype.kind != "U" else ids).value_counts()
    for word in sorted(_LIKE_MISSING & names):
        yield Suspicion(
            "client: a word for missing",
            name,
            f"{column} has a client {word!r} of {counted(int(counts[word]), 'row')}, which is read as its name; if it "
            f"stands for missing, {cure}",
        )
    for word in sorted(each for each in names if each.casefold() in _WORDS_FOR_ALL):
        sentence = (
            f"{column} has a client {word!r} of {counted(int(counts[word]), 'row')}; if these are totals of "
            "other rows, remove them"
        )
        yield Suspicion("client: a word for all", name, sentence)
    if len(counts) == len(ids) > 1:
        yield Suspicion(
            "client: one row each",
            name,
            f"{column} is different in each of {len(ids):,} rows, so every row is a client of its own",
        )
    elif len(counts) == 1:
        yield Suspicion("client: only one", name, f"{column} is {counts.index[0]!r} in every row: one client")


def merged(written: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(a name, in quotation marks the spellings of it that `tidied` makes one) of every name that has several."""
    spellings: dict[str, set[str]] = {}
    for text in dict.fromkeys(written):
        spellings.setdefault(tidied(text), set()).add(text)
    yield from ((text, spelt(several)) for text, several in spellings.items() if len(several) > 1)


def _alike(name: str, column: str, names: Iterable[str]) -> Iterator[Suspicion]:
    for several in alike(names):
        yield Suspicion(
            "client: names that are nearly the same",
            name,
            f"{column} has {spelt(several)}, which are read as {len(several)} clients; make them one in the file if "
            "they are",
        )


def alike(texts: Iterable[str]) -> list[list[str]]:
    """Groups of texts that differ only in capitals, spaces, forms of a letter, or zeros before or after a number."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(_key(text), []).append(text)
    return [group for group in groups.values() if len(group) > 1]


def _key(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(rf"[\s{INVISIBLE}]+", " ", plain).strip()
    if number := re.fullmatch(r"\+?0*([0-9]+?)(\.0+)?", plain):
        return number[1]
    return plain


def spelt(texts: Iterable[str]) -> str:
    """A few of the texts in quotation marks, with invisible characters made visible."""
    names = sorted(texts)
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(map(_visible, names[:_MOST_SHOWN])) + more


def _visible(text: str) -> str:
    """The text in quotation marks; unusual spaces and other invisible characters by their number."""
    shown = "".join(f"\\u{ord(c):04x}" if c in INVISIBLE or (c.isspace() and c != " ") else c for c in text)
    decomposed = unicodedata.normalize("NFC", text) != text
    return f"{shown!r}".replace("\\\\u", "\\u") + (" (decomposed)" if decomposed else "")
