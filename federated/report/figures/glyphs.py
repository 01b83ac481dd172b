"""Fonts for the characters of a figure: matplotlib's own font, and the machine's fonts for the others."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = "DejaVu Sans"
_NOT_FOR_TEXT = ("Last Resort", "Noto Color", "Apple Color", "Segoe UI Emoji", "STIX", "cm")
_NO_LETTERS = ("Co", "Cn", "Cs")
"""Characters for private use, none at all, and halves: a font that has one shows something of its own."""


def drawable(text: str) -> str:
    """The text with characters that no font here has written as Python does, `\\u8054`: boxes would all be the same."""
    if text.isascii():
        return text
    return "".join(one if one.isascii() or font_of(one) else _written_out(one) for one in text)


def choose_fonts(figure: Figure) -> None:
    """Let every text of a figure use the fonts that have its characters."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and len(families := families_of(text.get_text())) > 1:
            text.set_fontfamily(families)


def families_of(text: str) -> list[str]:
    """The families of fonts that have the characters of a text, the usual one first."""
    if text.isascii():
        return [_OWN]
    return list(dict.fromkeys([_OWN, *filter(None, map(font_of, text))]))


@cache
def font_of(character: str) -> str | None:
    """The family of a font that has this character; the usual one where it does, None where none does."""
    if unicodedata.category(character) in _NO_LETTERS:
        return None
    if ord(character) in _own_characters():
        return _OWN
    return next((family for family, has in _other_fonts() if ord(character) in has), None)


@cache
def _own_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_OWN)).get_charmap())


@cache
def _other_fonts() -> tuple[tuple[str, frozenset[int]], ...]:
    """(family, its characters) of the fonts of this machine; read once, and only where a character asks for it."""
    return tuple(_readable(dict(_regular_fonts()).items()))


def _regular_fonts() -> Iterator[tuple[str, str]]:
    from matplotlib.font_manager import fontManager

    for entry in fontManager.ttflist:
        if entry.style == "normal" and not entry.name.startswith(_NOT_FOR_TEXT):
            yield entry.name, entry.fname


def _readable(fonts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, frozenset[int]]]:
    from matplotlib.font_manager import get_font

    for family, path in fonts:
        try:
            yield family, frozenset(get_font(path).get_charmap())
        except (OSError, RuntimeError):  # of bitmaps, or damaged: as if it were not there
            continue


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
