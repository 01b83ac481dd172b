"""Section: one part of the report's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from federated.report.figures.vega_spec import Spec, arms_drawn
from federated.report.findings.findings import Report
from federated.report.text.table import Table

T = TypeVar("T")
MOST_ROWS = 1_000
"""The largest number of rows of a table on the page; with ten thousand it is slow to open."""

Pictures = Mapping[str, bytes]
"""Title -> PNG of the figures that were drawn."""


class Drawings(NamedTuple):
    """The drawings of a report. charts: name -> specification of the interactive charts, see `charts.CHARTS`."""

    pictures: Pictures
    charts: Mapping[str, Spec]


class Section(NamedTuple):
    """A heading and what is below it.

    template: a file in this folder, in Jinja, which sees what `content` returns and the macros of `parts.html`.
    content: what the section shows of a report and its drawings; None: nothing, and it is left out.
    """

    title: str
    template: str
    content: Callable[[Report, Drawings], Mapping[str, Any] | None]

    @property
    def anchor(self) -> str:
        """Its place in the page's address."""
        return self.title.lower().replace(" ", "-")


def first_rows(rows: Sequence[T], what: str = "rows") -> tuple[Sequence[T], str]:
    """As many rows as a page can show, and the number of those left out, in words."""
    if len(rows) <= MOST_ROWS:
        return rows, ""
    return rows[:MOST_ROWS], f"The first {MOST_ROWS:,} of {len(rows):,} {what}; all of them are in MLflow."


def first_of(table: Table, what: str) -> Table:
    """A table with as many rows as a page can show, and how many that leaves out in its note."""
    rows, left_out = first_rows(table.rows, what)
    return replace(table, rows=rows, note=f"{table.note} {left_out}".strip())


def picture(title: str, note: str = "", charts: Sequence[str] = ()) -> Section:
    """A section that is one figure of the same title, with a note below it.

    charts: names of `charts.CHARTS` that take the figure's place where scripts run, below buttons for the arms in them.
    """

    def content(report: Report, drawings: Drawings) -> dict[str, Any] | None:
        if title not in drawings.pictures:
            return None
        live = [name for name in charts if name in drawings.charts]
        drawn = set[str]().union(*(arms_drawn(drawings.charts[name]) for name in live))
        looks = {arm: look for arm, look in report.looks.items() if arm in drawn}
        return {"name": title, "note": note, "live": live, "looks": looks}

    return Section(title, "picture.html", content)
