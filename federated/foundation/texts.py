"""User-supplied texts adapted to places that restrict characters or length.

Names come from study files, tables and error messages: of any length, in any script, with brackets, quotes, newlines
or the escape sequences of a terminal. Each place that limits them has one function that makes them fit: here those
that several places share, `flows.terminal.screen` for the terminal, `tasks.tracking.server.limits` for MLflow.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from reprlib import Repr

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Controls of terminals, of the direction of writing and of nothing at all; halves of characters. Not the joiners
U+200C and U+200D, which Persian, Hindi and emoji are spelt with."""

_BREAKS = re.compile(r"[\n\t]")
_DIGITS = 8
_LONGEST_FILE_NAME = 120
"""In bytes. File systems take 255 a name; what is written beside a file adds some 40 to its name."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever follows the dot; shared folders reach it."""


def visible(text: str) -> str:
    """Controls and other invisible characters written as Python does, such as `\\x1b`; newlines and tabs stay."""
    return _INVISIBLE.sub(_escaped, text)


def in_a_line(text: str) -> str:
    """As `visible`, newlines and tabs too: for names, which have a line or a cell to themselves."""
    return _BREAKS.sub(_escaped, visible(text))


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters, cut in the middle: names often differ at their end."""
    kept = longest - 1
    return text if len(text) <= longest else f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def distinct(text: str, longest: int, mark: str = "…") -> str:
    """At most `longest` characters: the beginning, and a digest of it all, so that different texts stay different."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - len(mark) - _DIGITS]}{mark}{digest(text)}"


def digest(text: str) -> str:
    """Eight characters that differ for texts that differ."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def file_name(text: str, longest: int = _LONGEST_FILE_NAME) -> str:
    """The text as the name of a file or folder on any system: readable, at most `longest` bytes.

    Letters, digits, spaces and `_.=+-` stay, everything else is a dash; a name that had to change otherwise, too long
    or reserved, ends in a digest of the text.
    """
    plain = unicodedata.normalize("NFC", text)
    kept = re.sub("-+", "-", "".join(one if _stays(one) else "-" for one in plain)).strip(" .-")
    if kept and kept == plain and len(kept.encode()) <= longest and not _DEVICES.fullmatch(kept):
        return kept
    room = longest - _DIGITS - 1
    head = kept.encode()[:room].decode(errors="ignore").rstrip(" .-")
    return f"{head}-{digest(plain)}".lstrip("-")


def quoted(value: object) -> str:
    """As `repr` writes it, shortened where it is long, deep or refers to itself."""
    return visible(_SHORT.repr(value))


def listed(names: Iterable[object], most: int = 40) -> str:
    """`a, b, c and 7 more`."""
    known = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(shortened(str(name), 100) for name in islice(known, most)) + more


def meant(name: str, known: Iterable[str]) -> str:
    """`did you mean 'rounds'? `, with the nearest name; "" where none is near."""
    names = list(known)
    same = [each for each in names if each.strip().casefold() == name.strip().casefold()]
    close = same or get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def is_written(character: str) -> bool:
    """Whether it is a letter, a digit, an underscore or a mark on one of them, as most of the world's vowels are."""
    return character.isalnum() or character in "_\u200c\u200d" or unicodedata.category(character)[0] == "M"


def _stays(character: str) -> bool:
    return character in " .=+-" or is_written(character)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class _Short(Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Python refuses to write out thousands of digits."""
        digits = int(x.bit_length() * math.log10(2)) + 1
        return super().repr_int(x, level) if digits < 1000 else f"a number of about {digits:,} digits"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 12
_SHORT.maxlevel = 4
