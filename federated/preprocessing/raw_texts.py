"""Texts as inputs of a model: words or characters counted and weighted, or as numbers in their order."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from .word_pieces import library_pieces, word_pieces

_WORD = re.compile(r"\w+")
_SPACES = re.compile(r"\s+")
_BLOCK_CELLS = 2**22
FIRST_WORD = 2
"""The number of the first word of a vocabulary that was learnt; 1 is any other word, 0 fills short texts up."""
PIECES: dict[str, Callable[[Mapping[str, Any]], Callable[[str], list[int]]]] = {
    "word_pieces": word_pieces,
    "library": library_pieces,
}
"""Tokenisers whose numbers are their vocabulary's: values -> text -> numbers."""


CUT = {"words": "words or characters", "word_pieces": "tokens", "library": "tokens"}
"""Inputs that take so many of each text and no more, and what of."""


def inputs_of_texts(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Float32 [n, width] or int64 [n, length] of texts: a list, or a table with the columns that the model takes.

    values: columns; inputs ("tfidf", "hashing", "words", "word_pieces" or "library"); of words the rule of `units_of`,
    and their vocabulary or `size`; of pieces what `word_pieces` or `library_pieces` takes. arrays: "rarity" [width] of
    TF-IDF, float64.
    """
    columns_of = columns_by_rule(values)
    columns = [np.array(columns_of(text), np.int64) for text in texts_of(values["columns"], rows)]
    ends = np.cumsum([len(each) for each in columns], dtype=np.int64)
    flat = np.concatenate(columns) if columns else np.empty(0, np.int64)
    inputs = np.zeros((len(columns), width_of(values)), dtype_of(values))
    fill(inputs, lambda places: flat[places], ends, values, arrays)
    return inputs


def odd_texts(values: Mapping[str, Any], rows: Any) -> dict[str, int]:
    """How many texts are empty, hold no word of the vocabulary, or are longer than what the model takes of them."""
    texts = texts_of(values["columns"], rows)
    there = [text for text in texts if text.strip()]
    found = {"empty": len(texts) - len(there)}
    if values["inputs"] == "tfidf":
        known = columns_by_rule(values)
        found["without a word that the model knows"] = sum(max(known(text), default=-1) < 0 for text in there)
    if values["inputs"] in CUT:
        cut = cut_texts(values, int(values["length"]))
        longer = f"longer than {values['length']} {CUT[values['inputs']]} (the rest is left out)"
        found[longer] = sum(map(cut, there))
    return found


def cut_texts(values: Mapping[str, Any], length: int) -> Callable[[str], bool]:
    """text -> whether it has more units or pieces than `length`, marks of begin and end included."""
    if values["inputs"] in PIECES:
        pieces = PIECES[values["inputs"]]({**values, "length": length + 1})
        return lambda text: len(pieces(text)) > length
    return lambda text: len(units_of(text, values)) > length


def example_of_texts(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Two rows of made-up texts."""
    return pd.DataFrame({name: ["a text", "another text"] for name in values["columns"]})


def texts_of(columns: Sequence[str], rows: Any) -> list[str]:
    """The texts of rows, those of several columns as lines of one; what is missing is empty. Raises ValueError."""
    if isinstance(rows, pd.DataFrame):
        if absent := [name for name in columns if name not in rows.columns]:
            raise ValueError(f"the rows have no column {absent[0]!r}, which the model takes")
        parts = [rows[name].astype(object).where(rows[name].notna(), "").tolist() for name in columns]
        return ["\n".join(map(str, lines)) for lines in zip(*parts, strict=True)]
    if isinstance(rows, str) or len(columns) > 1:
        raise ValueError(f"the rows must be a table with the columns {', '.join(columns)}")
    return ["" if text is None else str(text) for text in np.asarray(rows, object).ravel()]


def columns_by_rule(values: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """text -> the column (or number) of each of its units, -1 for one that has none."""
    if values["inputs"] in PIECES:
        return PIECES[values["inputs"]](values)
    column = column_by_unit(values)
    return lambda text: [column(unit) for unit in units_of(text, values)]


def units_of(text: str, rule: Mapping[str, Any]) -> list[str]:
    """The units of a text in their order: words or characters, then groups of up to `ngrams` neighbours.

    rule: unit ("word" or "character"), ngrams, lowercase.
    """
    text = unicodedata.normalize("NFC", text.lower() if rule["lowercase"] else text)
    single = _WORD.findall(text) if rule["unit"] == "word" else list(_SPACES.sub(" ", text.strip()))
    joint = " " if rule["unit"] == "word" else ""
    units = list(single)
    for size in range(2, rule["ngrams"] + 1):
        units += [joint.join(single[at : at + size]) for at in range(len(single) - size + 1)]
    return units


def column_by_unit(values: Mapping[str, Any]) -> Callable[[str], int]:
    """unit -> its column. A hashed unit that counts negative has its column plus `size`."""
    if values["inputs"] == "hashing":
        size = int(values["size"])
        return cache(lambda unit: _hashed(unit, size))
    first, absent = (0, -1) if values["inputs"] == "tfidf" else (FIRST_WORD, FIRST_WORD - 1)
    known = {unit: at for at, unit in enumerate(values["vocabulary"], first)}
    return lambda unit: known.get(unit, absent)


def _hashed(unit: str, size: int) -> int:
    """By 64 bits of BLAKE2b: one decides the sign, the others the column."""
    written = unit.encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(written, digest_size=8).digest(), "little")
    return (number >> 1) % size + size * (number & 1)


def width_of(values: Mapping[str, Any]) -> int:
    """The number of inputs of a text."""
    if values["inputs"] == "tfidf":
        return len(values["vocabulary"])
    return int(values["size"] if values["inputs"] == "hashing" else values["length"])


def dtype_of(values: Mapping[str, Any]) -> type[np.generic]:
    """float32, or int64 for numbers of words or pieces."""
    return np.float32 if values["inputs"] in ("tfidf", "hashing") else np.int64


def fill(
    inputs: np.ndarray,
    columns: Callable[[slice], np.ndarray],
    ends: np.ndarray,
    values: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write the inputs of all texts to `inputs` [N, width], of zeros, a block of texts at a time.

    columns: of the units at these places in the sequence of all texts' units, as `columns_by_rule` has them.
    ends: where each text ends in it, int64 [N].
    """
    step = max(1, _BLOCK_CELLS // inputs.shape[1])
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    for first in range(0, len(ends), step):
        rows = slice(first, min(first + step, len(ends)))
        begin, end = int(starts[rows][0]), int(ends[rows][-1])
        sizes, of_units = ends[rows] - starts[rows], columns(slice(begin, end))
        owners = np.repeat(np.arange(len(sizes)), sizes)
        if values["inputs"] in ("tfidf", "hashing"):
            inputs[rows] = _weighted(of_units, owners, len(sizes), values, arrays)
            continue
        places = np.arange(end - begin) - np.repeat(starts[rows] - begin, sizes)
        within = places < inputs.shape[1]
        if padding := values.get("padding", 0):
            inputs[rows] = padding
        inputs[rows][owners[within], places[within]] = of_units[within]


def _weighted(
    columns: np.ndarray,
    owners: np.ndarray,
    count: int,
    values: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Counts of the columns in each text, weighted by rarity where that was learnt, of length 1, float64 [n, width]."""
    width = width_of(values)
    known = columns >= 0
    columns, owners = columns[known], owners[known]
    places = owners.astype(np.int64) * width + columns % width
    signs = np.where(columns >= width, -1.0, 1.0)
    counts = np.bincount(places, signs, count * width).astype(np.float64).reshape(count, width)
    if "rarity" in arrays:
        counts *= arrays["rarity"]
    lengths = np.sqrt((counts * counts).sum(axis=1, keepdims=True))
    np.divide(counts, lengths, out=counts, where=lengths > 0)
    return counts
