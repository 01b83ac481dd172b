"""The templates of pages, in which all text is escaped and invisible characters are written out."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from federated.foundation.texts import visible

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent


def templates() -> Environment:
    """The templates beside this file and those of the sections."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([_FOLDER, _FOLDER / "sections"]),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "breakable": _breakable,
        "kept_together": _kept_together,
        "prose": _prose,
        "base64": _base64,
    }
    return made


def _seen(value: object) -> object:
    """The value for a template: escaped text unchanged, other text with invisible characters written out."""
    return visible(value) if type(value) is str else value


def _breakable(text: str) -> Markup:
    """Escaped text that may go on in a new line after a bracket or comma, as arms have few spaces; within no number."""
    escaped = str(escape(visible(text)))
    return Markup(re.sub(r"(\(|,(?!\d))", r"\1<wbr>", escaped))


def _prose(text: str) -> Markup:
    """Escaped sentences in which what stands in backticks is code; of what is escaped already, the same."""
    escaped = str(escape(text if isinstance(text, Markup) else visible(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _kept_together(text: str) -> Markup:
    """Escaped text whose intervals, such as [0.1, 0.2], are not broken."""
    return Markup(str(escape(visible(text))).replace(", ", ",&nbsp;"))


def _base64(data: bytes) -> Markup:
    return Markup(base64.b64encode(data).decode("ascii"))
