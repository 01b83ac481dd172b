"""The terminal: the only module that prints.

What is printed comes from study files, tables and errors, where square brackets and colons mean nothing, so nothing in
a text is markup: a style goes with `style=`, or with a `Text` made by `styled`. Escape sequences are shown, not sent.
"""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from federated.foundation.texts import visible

T = TypeVar("T")
_MOST_ROWS = 40


class Screen(Console):
    """A console that prints every text literally."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text without markup or emoji codes; controls are shown as Python writes them."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})


def console(*, stderr: bool = False) -> Screen:
    """The terminal; outside one, and in a notebook, lines are plain and not cut at 80 characters."""
    stream = sys.stderr if stderr else sys.stdout
    notebook = type(stream).__module__.startswith(
        "ipykernel"
    )  # says that it is a terminal, and has no cursor
    return Screen(
        stderr=stderr,
        highlight=False,
        width=None if stream.isatty() and not notebook else 200,
        force_terminal=False if notebook else None,
        force_jupyter=False,
    )


def few(rows: Iterable[T], what: str) -> tuple[list[T], str | None]:
    """The rows that fit in a terminal, and a caption with the number of the others; None where there are none."""
    every = list(rows)
    left_out = len(every) - _MOST_ROWS
    return every[:_MOST_ROWS], f"and {left_out:,} more {what}" if left_out > 0 else None


def styled(*parts: str | tuple[str, str]) -> Text:
    """Texts, each as it is or in a style, such as `("done", "green")`."""
    texts = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((visible(text), style) for text, style in texts))
