"""The colour, line style and marker of each arm, the same in every figure and table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from federated.report.findings.results import RunResult

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A900")
"""Told apart with every kind of colour vision: Okabe and Ito 2008, the yellow darkened to show as a line."""

GREY = "#767676"
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_GLYPHS = dict(zip(_MARKERS, "●■▲◆▼✚✖★", strict=True))


PLAIN = (_LINES[0], _MARKERS[0])
"""The line and marker that stand for any, where the colour alone tells."""


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


def two_axes(arms: Iterable[Mapping[str, str]]) -> tuple[str, str] | None:
    """The paths of the two axes in which these arms differ; None for other arms. arms: the overrides of each."""
    paths = {tuple(overrides) for overrides in arms}
    if len(paths) != 1 or len(both := paths.pop()) != 2 or "name" in both:
        return None
    return both[0], both[1]


def crossed_axes(
    arms: Iterable[Mapping[str, str]],
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The paths of three axes or more in which these arms differ: those of other things, those of what travels.

    None for other arms, and where all axes are of one kind.
    """
    paths = {tuple(overrides) for overrides in arms}
    if len(paths) != 1 or len(every := paths.pop()) < 3 or "name" in every:
        return None
    inside = tuple(path for path in every if is_of_bytes(path))
    across = tuple(path for path in every if not is_of_bytes(path))
    return (across, inside) if across and inside else None


def is_of_bytes(path: str) -> bool:
    """Whether an axis says what travels and how: its values are compared by what they cost."""
    return path.partition(".")[0] in ("compression", "trained")


def joined(arm: Mapping[str, str], paths: Sequence[str]) -> str:
    """The values of an arm on these axes, as in its name."""
    return " · ".join(arm[path] for path in paths)


def strokes(arms: Mapping[str, Mapping[str, str]]) -> dict[str, Stroke]:
    """A stroke for each arm, by its place among `arms`. arms: arm -> its overrides.

    The arms of two axes (`dirichlet(alpha=0.1) · top_k(fraction=0.05)`) have a colour for the first and a
    line style and marker for the second, where both fit. Of more axes those of what travels have the colours and the
    others the lines. Other arms have colours first, then line styles.
    """
    if axes := two_axes(arms.values()):
        firsts, seconds = (list(dict.fromkeys(arm[axis] for arm in arms.values())) for axis in axes)
        if len(firsts) <= len(OKABE_ITO) and len(seconds) <= len(_LINES):
            return {
                name: _stroke(firsts.index(arm[axes[0]]), seconds.index(arm[axes[1]]))
                for name, arm in arms.items()
            }
    if more := crossed_axes(arms.values()):
        across, inside = (list(dict.fromkeys(joined(arm, axes) for arm in arms.values())) for axes in more)
        if len(inside) <= len(OKABE_ITO) and len(across) <= len(_LINES):
            return {
                name: _stroke(inside.index(joined(arm, more[1])), across.index(joined(arm, more[0])))
                for name, arm in arms.items()
            }
    return {arm: _stroke(i % len(OKABE_ITO), i // len(OKABE_ITO)) for i, arm in enumerate(arms)}


def arm_strokes(results: Sequence[RunResult]) -> dict[str, Stroke]:
    """A stroke for each arm; anchors are grey, dashed where centralised and dotted where local."""
    anchors = {run.arm: _ANCHORS[run.anchor] for run in results if run.anchor}
    return {**strokes({run.arm: run.overrides for run in results if not run.anchor}), **anchors}


def _stroke(colour: int, kind: int) -> Stroke:
    return Stroke(OKABE_ITO[colour], _LINES[kind % len(_LINES)], _MARKERS[kind % len(_MARKERS)])
