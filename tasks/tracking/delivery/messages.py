"""Lines for the user on the delivery of records."""

from __future__ import annotations

import logging
from collections.abc import Callable

_listener: Callable[[str], None] = logging.getLogger(__name__).warning


def show_with(listener: Callable[[str], None]) -> None:
    """Set the function that shows lines to the user."""
    global _listener
    _listener = listener


def show(line: str) -> None:
    """Show a line to the user."""
    _listener(line)
