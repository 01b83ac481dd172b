"""Numbers in texts, by the marks that a file states for decimals and thousands."""

from __future__ import annotations

import re
from typing import NamedTuple

PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
LEAD = "[1-9][0-9]{0,2}"
"""The digits before the first group of three. A zero starts no group: 0,100 and 0.100 are decimals."""


class Marks(NamedTuple):
    """The marks in the numbers of a CSV file, as its options state them."""

    decimal: str = "."
    thousands: str | None = None


def number_read(text: str, marks: Marks) -> str | None:
    """A number as Python writes it, with or without groups of thousands; None where the text is none of these marks."""
    text = text.strip()
    if marks.thousands is not None and _grouped(text, marks):
        return text.replace(marks.thousands, "").replace(marks.decimal, ".")
    plain = text.replace(marks.decimal, ".")
    return plain if PLAIN.fullmatch(plain) and (marks.decimal == "." or "." not in text) else None


def _grouped(text: str, marks: Marks) -> bool:
    mark, point = re.escape(marks.thousands or ""), re.escape(marks.decimal)
    return re.fullmatch(rf"[+-]?{LEAD}({mark}[0-9]{{3}})+({point}[0-9]*)?", text) is not None
