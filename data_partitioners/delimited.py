"""Text files of rows and columns as spreadsheets and other tools save them: their encoding, separator and numbers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark its own begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)
_GAPS = re.compile(r"(?<=[0-9])[ \u00a0\u202f'\u2019](?=[0-9]{3})")
_GROUPED = re.compile(r"[0-9]{1,3}([.,])[0-9]{3}(\1[0-9]{3})*")
_WHOLE = re.compile(r"[+-]?[0-9]+([.,]0+)?")


def encoding_of(head: bytes) -> str:
    """The encoding that a byte order mark at the start of a file tells; UTF-8 without one."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")


def separator_said(line: str) -> str | None:
    """The separator that a first line such as `sep=;`, which Excel reads and writes, tells; None for any other line."""
    told = _SEPARATOR_LINE.fullmatch(line.strip("\r\n"))
    return told[1] if told else None


def text_of(path: Path) -> str:
    """The text of a small file, line ends as they are. Raises ValueError where it is no text."""
    content = path.read_bytes()
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not {encoding.upper()}; save it as CSV UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds NUL characters, so it is no text file; save it as CSV UTF-8")
    return text


def whole_numbers(texts: Sequence[str]) -> np.ndarray:
    """Whole numbers, int64 [n], as people and spreadsheets write them: `7`, `7.0`, `1,234`, `1.234`, `1 234`.

    Raises ValueError that names the first text (its place in the list is `error.args[1]`) which is none, or of which
    it cannot be told whether its mark groups thousands.
    """
    if all(text.isdecimal() and text.isascii() and len(text) < 19 for text in texts):
        return np.array(list(map(int, texts)), np.int64)
    plain = [_GAPS.sub("", text.strip()) for text in texts]
    thousands = _thousands_mark(plain)
    numbers = np.empty(len(plain), np.int64)
    for at, text in enumerate(plain):
        ungrouped = text.replace(thousands, "") if thousands and _GROUPED.fullmatch(text) else text
        if not _WHOLE.fullmatch(ungrouped):
            raise ValueError(f"{texts[at]!r} is not a whole number", at)
        number = int(re.split("[.,]", ungrouped)[0])
        if abs(number) >= 2**63:
            raise ValueError(f"{texts[at]!r} is beyond any number of an example", at)
        numbers[at] = number
    return numbers


def _thousands_mark(texts: Sequence[str]) -> str | None:
    """The mark that groups thousands; None where none does. `1.000` alone is 1 or 1000, `0.000` or `1.234` tell."""
    grouped = [(at, found[1]) for at, text in enumerate(texts) if (found := _GROUPED.fullmatch(text))]
    marks = {mark for _, mark in grouped}
    if len(marks) == 1:
        mark = marks.pop()
        if any(not texts[at].endswith("000") or texts[at].count(mark) > 1 for at, _ in grouped):
            return mark
        if any(re.fullmatch("0[.,]0+", text) for text in texts):
            return None
    if grouped:
        at = grouped[0][0]
        raise ValueError(f"{texts[at]!r} can be read in two ways; save whole numbers without a mark", at)
    return None
