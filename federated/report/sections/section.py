"""Section: one part of the report's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from federated.report.report import Report

Pictures = Mapping[str, bytes]
"""Title -> PNG of the figures that were drawn."""


class Section(NamedTuple):
    """A heading and what is below it.

    template: a file in this folder, in Jinja, which sees what `content` returns and the macros of `parts.html`.
    content: what the section shows of a report and its pictures; None: nothing, and it is left out.
    """

    title: str
    template: str
    content: Callable[[Report, Pictures], Mapping[str, Any] | None]

    @property
    def anchor(self) -> str:
        """Its place in the page's address."""
        return self.title.lower().replace(" ", "-")


def picture(title: str, note: str = "") -> Section:
    """A section that is one figure of the same title, with a few quiet words below it."""

    def content(report: Report, pictures: Pictures) -> dict[str, Any] | None:
        return {"name": title, "note": note} if title in pictures else None

    return Section(title, "picture.html", content)
