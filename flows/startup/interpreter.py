"""Interpreter settings in the user's environment that would break our files, checks and output.

The interpreter reads them before any of our code runs. So a process that was started with settings under which it
cannot do its work starts again without them, as do its children.
"""

import codecs
import io
import locale
import os
import sys
import unicodedata
from collections.abc import Mapping

from flows.startup.search_path import keep_children_out

_SHOWN_AS = {
    "−": "-",
    "–": "-",
    "—": "-",
    "‑": "-",
    "·": "*",
    "…": "...",
    "×": "x",
    "±": "+-",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "∞": "inf",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "α": "alpha",
    "δ": "delta",
    "ε": "epsilon",
    "σ": "sigma",
}
_NEAREST = "nearest"


def settle() -> None:
    """Make this process one that can do its work, by starting it again if need be. Call it first."""
    fill_closed_streams()
    wanted = settled(os.environ, sys.stdout.encoding, _reads_utf8())
    if wanted != dict(os.environ) and not sys.flags.ignore_environment:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    keep_children_out()
    os.umask(os.umask(0o077) & 0o077)  # what we write we must be able to read, whatever others may
    codecs.register_error(_NEAREST, nearest)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_NEAREST)


def fill_closed_streams() -> None:
    """Read and write nothing where a standard stream is closed: else the next file opened would be in its place."""
    for descriptor, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which is given the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115


def settled(environment: Mapping[str, str], output: str, reads_utf8: bool) -> dict[str, str]:
    """The environment with which Python can do our work; the same one where it can already.

    output: the encoding of the terminal, which stays. reads_utf8: whether names of files and texts are UTF-8.
    """
    changed = dict(environment)
    if changed.get("PYTHONOPTIMIZE", "0") not in ("", "0"):
        del changed[
            "PYTHONOPTIMIZE"
        ]  # it removes checks, and the docstrings that are shown and that libraries read
    if any(part.strip().startswith("e") for part in changed.get("PYTHONWARNINGS", "").split(",")):
        del changed["PYTHONWARNINGS"]  # libraries warn while they are imported
    if not reads_utf8:
        changed["PYTHONUTF8"] = "1"
        changed.setdefault("PYTHONIOENCODING", output)
    return changed


def nearest(error: UnicodeError) -> tuple[str, int]:
    """For a codec: the nearest ASCII for characters that it cannot encode, `?` where there is none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_nearest, error.object[error.start : error.end])), error.end


def _nearest(character: str) -> str:
    plain = unicodedata.normalize("NFKD", _SHOWN_AS.get(character, character))
    return "".join(part for part in plain if part.isascii()) or "?"


def _reads_utf8() -> bool:
    """Whether it reads UTF-8, or an encoding was set on its command line."""
    if sys.flags.utf8_mode or "utf8" in sys._xoptions:
        return True
    names = {sys.getfilesystemencoding(), locale.getencoding()}
    return {codecs.lookup(name).name for name in names} == {"utf-8"}
