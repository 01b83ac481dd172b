"""The colour, line style and marker of each arm, the same in every figure and table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from federated.report.findings.results import RunResult, arms_of, candidates

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A900")
"""Told apart with every kind of colour vision: Okabe and Ito 2008, the yellow darkened to show as a line."""


GREY = "#767676"


_LINES = ("-", (0, (4, 1.5)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)))


_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


_GLYPHS = dict(zip(_MARKERS, "●■▲◆▼✚✖★", strict=True))


AXIS_SEPARATOR = " · "


class Stroke(NamedTuple):
    """The drawing style of one arm, the same in every figure."""

    colour: str
    line: Any
    marker: str

    @property
    def glyph(self) -> str:
        """The marker as a character, for text beside the figures."""
        return _GLYPHS[self.marker]


_ANCHORS = {
    "centralised": Stroke("#333333", (0, (6, 3)), "P"),
    "local": Stroke(GREY, (0, (1.5, 2)), "X"),
}


NOT_DRAWN = Stroke("#d8dde3", "-", "o")
"""In tables, of an arm that the pictures have no room for."""


def strokes(arms: Sequence[str]) -> dict[str, Stroke]:
    """A stroke for each arm, by its place among `arms`.

    The arms of two axes (`dirichlet(alpha=0.1) · top_k(fraction=0.05)`) have a colour for the first and a
    line style and marker for the second, where both fit; other arms have colours first, then line styles.
    """
    parts = [arm.split(AXIS_SEPARATOR) for arm in arms]
    if all(len(part) == 2 for part in parts):
        firsts = list(dict.fromkeys(part[0] for part in parts))
        seconds = list(dict.fromkeys(part[1] for part in parts))
        if len(firsts) <= len(OKABE_ITO) and len(seconds) <= len(_LINES):
            places = [(firsts.index(first), seconds.index(second)) for first, second in parts]
            return {arm: _stroke(*place) for arm, place in zip(arms, places, strict=True)}
    return {arm: _stroke(i % len(OKABE_ITO), i // len(OKABE_ITO)) for i, arm in enumerate(arms)}


def arm_strokes(results: Sequence[RunResult]) -> dict[str, Stroke]:
    """A stroke for each arm; anchors are grey, dashed where centralised and dotted where local."""
    anchors = {run.arm: _ANCHORS[run.anchor] for run in results if run.anchor}
    return {**strokes(arms_of(candidates(results))), **anchors}


def _stroke(colour: int, kind: int) -> Stroke:
    return Stroke(OKABE_ITO[colour], _LINES[kind % len(_LINES)], _MARKERS[kind % len(_MARKERS)])
