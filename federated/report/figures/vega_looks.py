"""Vega equivalents of the matplotlib style: dashes, markers, and the plain look of all figures."""

from __future__ import annotations

from typing import Any

DOMINATED = "#c4c4c4"
GREY_LINE = "#767676"
_SHAPES = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "M-0.7,-1L0,-0.3L0.7,-1L1,-0.7L0.3,0L1,0.7L0.7,1L0,0.3L-0.7,1L-1,0.7L-0.3,0L-1,-0.7Z",
    "*": "M0,-1L0.24,-0.32L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.32Z",
}
_FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

CONFIG: dict[str, Any] = {
    "font": _FONT,
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "labelColor": "#444",
        "titleColor": "#1b1f24",
        "gridColor": "#e4e4e4",
        "domainColor": "#999999",
        "tickColor": "#999999",
        "tickCount": 6,
    },
}


def as_shape(marker: str) -> str:
    """A marker of matplotlib as a shape of Vega's, or the path of one."""
    return _SHAPES[marker]


def as_dash(line: Any) -> list[float]:
    """A line style of matplotlib as lengths of dashes and gaps, in pixels; [1, 0] is solid."""
    return [1, 0] if line == "-" else [2 * length for length in line[1]]
