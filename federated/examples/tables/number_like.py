"""Texts that people read as numbers and a computer does not: `1,234`, `12,5`, `€ 5`, `5 kg`, `12%`, `<0.1`."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

Style = Literal["plain", "decimal comma", "thousands", "unit", "other signs"]

PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+|[+-]?[0-9]{1,3}([. '\u00a0\u202f][0-9]{3})+,[0-9]+")
_GROUPS = re.compile(
    r"[+-]?[0-9]{1,3}(?:([,. '\u2019\u00a0\u202f_])[0-9]{3})(?:\1[0-9]{3})*(?P<rest>[.,][0-9]+)?"
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


def number_like(text: str) -> NumberLike | None:
    """How a text is a number; None where it is none. `1,234` counts as thousands, `12,5` as a decimal comma."""
    text = text.strip()
    if PLAIN.fullmatch(text):
        return NumberLike("plain", text)
    if (grouped := _GROUPS.fullmatch(text)) and grouped["rest"] != grouped[1]:
        decimal_comma = (grouped["rest"] or "").startswith(",")
        return NumberLike("decimal comma" if decimal_comma else "thousands", text)
    if _DECIMAL_COMMA.fullmatch(text):
        return NumberLike("decimal comma", text)
    if PLAIN.fullmatch(ascii_ := unicodedata.normalize("NFKC", text).translate(_MINUSES)):
        return NumberLike("other signs", ascii_)
    if (unit := _UNIT.fullmatch(text)) and (affix := (unit["before"] + unit["after"]).strip()):
        return NumberLike("unit", unit["number"], affix)
    return None


def few_units(found: dict[str, NumberLike | None]) -> bool:
    """Whether the affixes are units (a few, around many numbers) and not parts of codes such as `1A`, `2B`."""
    units = [each for each in found.values() if each is not None and each.style == "unit"]
    return len({each.affix for each in units}) <= min(_MOST_UNITS, len({each.number for each in units}) // 3)


def ungrouped(text: str, decimal: str, thousands: str) -> str | None:
    """A number with groups of thousands as Python writes it; None where the text is none."""
    mark, point = re.escape(thousands), re.escape(decimal)
    if not re.fullmatch(rf"\s*[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+({point}[0-9]*)?\s*", text):
        return None
    return text.strip().replace(thousands, "").replace(decimal, ".")
