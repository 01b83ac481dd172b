"""Numbers that stand for missing: -999, 9999, -99.9, -200, the ends of a type, 1e20, far from all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from federated.examples.reading import Suspicion, counted, span

_MOST_AT_AN_END = 4
_FEWEST_OTHERS = 3
_NINES = re.compile(r"-?9{2,}(\.9+)?|-?([78])\2{2,}")
_ROUND = re.compile(r"-[1-9]00+")
_DIGIT = re.compile(r"-[1789]|-?([78])\1")
_ENDS = frozenset(
    str(sign) for bits in (15, 31, 63) for sign in (-(2**bits), 2**bits - 1, 2 ** (bits + 1) - 1)
)
_FILLING = 1e15
"""A magnitude that files of weather and climate fill gaps with, and hardly anything measured has."""
_MANY_OTHERS = 20
_OFTEN = 3


class Codes(NamedTuple):
    """The numbers of one column that may stand for missing. values: distinct, sorted. rest: the other numbers."""

    values: np.ndarray
    rest: np.ndarray


def suspicion_of_codes(name: str, what: str, numbers: np.ndarray, cure: str) -> Iterator[Suspicion]:
    """A sentence on the numbers of a column that may stand for missing, if there are any.

    what: the column, for messages. numbers: float [N], NaN where one is missing. cure: `leave it empty` or the like;
    {} in it is the list of the codes as texts.
    """
    if (codes := codes_of_missing(numbers)) is None:
        return
    texts = [written(value) for value in codes.values]
    found = [np.flatnonzero(numbers == value) for value in codes.values]
    rows = [f"{text} in {counted(len(at), 'row')}" for text, at in zip(texts, found, strict=True)]
    first = min(int(at[0]) for at in found) + 1
    it = "it stands" if len(texts) == 1 else "they stand"
    cured = cure.format(", ".join(f'"{text}"' for text in texts))
    yield Suspicion(
        "a number that may stand for missing",
        name,
        f"{what} is {', '.join(rows)}, the first is row {first}, and {span(codes.rest)} in all others; if {it} for "
        f"missing, {cured}",
    )


def codes_of_missing(numbers: np.ndarray) -> Codes | None:
    """The most numbers at either end that are written as codes are and lie far from all others."""
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    low = _run(values, counts)
    high = _run(values[::-1], counts[::-1])
    ways = sorted(product(range(low + 1), range(high + 1)), key=sum, reverse=True)
    for below, above in ways:
        kept = slice(below, len(values) - above)
        rest, times = values[kept], counts[kept]
        if not below + above or len(rest) < _FEWEST_OTHERS:
            continue
        ends = [(values[:below], counts[:below])] if below else []
        ends += [(values[len(values) - above :], counts[len(values) - above :])] if above else []
        if all(_is_far(*end, rest, times) for end in ends):
            return Codes(np.concatenate([codes for codes, _ in ends]), rest)
    return None


def written(value: float) -> str:
    """A number as a person wrote it, also where 32 bits held it."""
    value = float(value)
    if value.is_integer() and abs(value) < _FILLING:
        return f"{value:.0f}"
    with np.errstate(over="ignore"):
        short = np.float32(value)
    return str(short) if float(short) == value else repr(value)


def _run(values: np.ndarray, counts: np.ndarray) -> int:
    """The length of the leading run of numbers that look like codes."""
    for at, (value, count) in enumerate(zip(values[:_MOST_AT_AN_END], counts, strict=False)):
        text = written(value)
        like_one = bool(_NINES.fullmatch(text)) or text in _ENDS or abs(value) >= _FILLING
        often = bool(_ROUND.fullmatch(text) or _DIGIT.fullmatch(text)) and (count > 1 or text == "-9")
        if not like_one and not often:
            return at
    return min(len(values), _MOST_AT_AN_END)


def _is_far(codes: np.ndarray, counts: np.ndarray, rest: np.ndarray, times: np.ndarray) -> bool:
    """Farther from the others than these are from each other; or the only negative ones among positive others."""
    gap = min(abs(codes[-1] - rest[0]), abs(codes[0] - rest[-1]))
    if gap > rest[-1] - rest[0]:
        return True
    if codes[-1] >= 0 or rest[0] < 0:
        return False
    if all(not _DIGIT.fullmatch(written(code)) for code in codes):
        return True
    return len(rest) >= _MANY_OTHERS and int(counts.min()) >= _OFTEN * int(times.max())
