"""Texts that people read as numbers and a computer does not: `1,234`, `12,5`, `€ 5`, `5 kg`, `12%`, `<0.1`, `39+`."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

from federated.preprocessing.number_marks import LEAD, PLAIN, Marks, number_read

Style = Literal["plain", "decimal point", "decimal comma", "thousands", "bound", "unit", "other signs"]

_DECIMAL_COMMA = re.compile(rf"[+-]?[0-9]*,[0-9]+|[+-]?{LEAD}([. '\u00a0\u202f][0-9]{{3}})+,[0-9]+")
_GROUPS = re.compile(
    rf"[+-]?{LEAD}(?:([,. '\u2019\u00a0\u202f_])[0-9]{{3}})(?:\1[0-9]{{3}})*(?P<rest>[.,][0-9]+)?"
)
_BOUND = re.compile(
    r"[<>\u2264\u2265]=?\s*(?P<limit>[+-]?[0-9][0-9.,]*)"
    r"|(?P<least>[+-]?[0-9][0-9.,]*)\s*(\+|plus|(and|or|&) (more|over|older|above|up|less|under|younger|below))"
)
_UNIT = re.compile(
    r"(?P<before>[<>\u2264\u2265~\u2248=]*\s*[^\w\s+.,-]?)\s*(?P<number>[+-]?[0-9][0-9.,]*)\s*"
    r"(?P<after>[%\u2030\u00b0a-zA-Z\u00b5\u03bc\u00b2\u00b3\u20ac$\u00a3\u00a5/]{0,8})"
)
_MOST_UNITS = 3
_MINUSES = str.maketrans({"\u2212": "-", "\u2013": "-"})


class NumberLike(NamedTuple):
    """A text read as a person would. number: the part that is one. affix: what stands around it."""

    style: Style
    number: str
    affix: str = ""


def could_be_decimals(text: str, marks: Marks) -> bool:
    """Whether its one group of thousands could be three decimals: `1.234` where the thousands have points."""
    mark = marks.thousands or ""
    return mark in (",", ".") and bool(re.fullmatch(rf"[+-]?{LEAD}\{mark}[0-9]{{3}}", text.strip()))


def number_like(text: str, marks: Marks = Marks()) -> NumberLike | None:  # noqa: B008 - immutable
    """The way in which a text is a number; None for no number. `1,234` has thousands, `12,5` a decimal comma."""
    text = text.strip()
    if (number := number_read(text, marks)) is not None:
        return NumberLike("plain", number)
    if PLAIN.fullmatch(text):
        return NumberLike("decimal point", text)
    if (grouped := _GROUPS.fullmatch(text)) and grouped["rest"] != grouped[1]:
        decimal_comma = (grouped["rest"] or "").startswith(",")
        return NumberLike("decimal comma" if decimal_comma else "thousands", text)
    if _DECIMAL_COMMA.fullmatch(text):
        return NumberLike("decimal comma", text)
    if PLAIN.fullmatch(ascii_ := unicodedata.normalize("NFKC", text).translate(_MINUSES)):
        return NumberLike("other signs", ascii_)
    if (bound := _BOUND.fullmatch(text)) and (number := number_read(bound["limit"] or bound["least"], marks)):
        return NumberLike("bound", number)
    if (unit := _UNIT.fullmatch(text)) and (affix := (unit["before"] + unit["after"]).strip()):
        return NumberLike("unit", unit["number"], affix)
    return None


def few_units(found: dict[str, NumberLike | None]) -> bool:
    """Whether the affixes are units (a few, around many numbers) and not parts of codes such as `1A`, `2B`."""
    units = [each for each in found.values() if each is not None and each.style == "unit"]
    return len({each.affix for each in units}) <= min(_MOST_UNITS, len({each.number for each in units}) // 3)


def few_bounds(found: dict[str, NumberLike | None]) -> bool:
    """Whether bounds are the ends of numbers, as 39+ after 38, and not bands such as `<18` and `>65`."""
    styles = [each.style for each in found.values() if each is not None]
    return 0 < styles.count("bound") <= sum(style not in ("bound", "unit") for style in styles)
