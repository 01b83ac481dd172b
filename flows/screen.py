"""The terminal: the one place that text is printed from.

What is printed comes from study files, tables and errors, where square brackets and colons mean nothing, so nothing in
a text is markup: a style goes with `style=`, or with a `Text` made by `styled`. Escape sequences are shown, not sent.
"""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from federated.texts import visible


class Screen(Console):
    """A console that prints every text as it is, whatever is in it."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text without markup or emoji codes; controls are shown as Python writes them."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})


def console(*, stderr: bool = False) -> Screen:
    """The terminal; outside one, lines are not cut at 80 characters."""
    stream = sys.stderr if stderr else sys.stdout
    return Screen(stderr=stderr, highlight=False, width=None if stream.isatty() else 200)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Texts, each as it is or in a style, such as `("done", "green")`."""
    texts = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((visible(text), style) for text, style in texts))
