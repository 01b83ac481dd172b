"""Table: columns and rows of text with a note, for the terminal, a note in MLflow and the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Row = Sequence[str]
_IN_WORDS = ("verdict", "values")
"""Titles of columns that hold words, also where a cell begins with a number."""


@dataclass(frozen=True)
class Table:
    """columns: their titles. rows: a cell of text for each column. note: how to read it, in sentences."""

    columns: Row
    rows: Sequence[Row]
    note: str = ""

    def in_words(self, at: int) -> bool:
        """Whether a column holds words, which stand to the left, and not numbers: no cell begins otherwise than with a
        letter, but for those without a value."""
        cells = [row[at] for row in self.rows if row[at].strip("– ")]
        return self.columns[at] in _IN_WORDS or (bool(cells) and all(cell[0].isalpha() for cell in cells))

    def markdown(self, escaped: Callable[[str], str] = str) -> str:
        """The table in Markdown, without its note. escaped: makes text of a cell harmless."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(escaped(cell) for cell in line)} |" for line in lines)

    def rich(self, title: str, texts: int = 1, caption: str | None = None) -> RichTable:
        """The table for a terminal, without its note. texts: the first columns to the left; numbers to the right."""
        from rich.table import Table as RichTable

        shown = RichTable(title=title, title_justify="left", caption=caption, caption_justify="left")
        for at, name in enumerate(self.columns):
            shown.add_column(name, justify="left" if at < texts else "right", overflow="fold")
        for row in self.rows:
            shown.add_row(*row)
        return shown
