"""Axes whose ticks are drawn together, for the many small pictures of a study.

Matplotlib makes an object of every tick, with two texts and three lines, and lays each out by itself, which is most of
the time of a small picture. Here an axis draws its grid as one path, its marks as another, and its texts as bitmaps.
The pictures are the same but for the rounding of places to pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.ticker import NullLocator
from matplotlib.transforms import IdentityTransform

from federated.report.figures.words import plain_words, words

if TYPE_CHECKING:
    _Mixin = Axis
else:
    _Mixin = object

_POINTS_AN_INCH = 72
_A_QUARTER_TURN = 90
_ROUNDING = 0.5

Look = dict[str, Any]


class QuickAxes(Axes):
    """Axes at the left and at the bottom of a panel that draw their ticks together."""

    name = "quick"

    def _init_axis(self) -> None:
        self.xaxis, self.yaxis = _QuickXAxis(self, clear=False), _QuickYAxis(self, clear=False)
        for spine, axis in zip(
            ("bottom", "top", "left", "right"), (*[self.xaxis] * 2, *[self.yaxis] * 2), strict=True
        ):
            self.spines[spine].register_axis(axis)

    def draw(self, renderer: Any) -> None:
        """Draw everything."""
        for spine in self.spines.values():
            spine.get_spine_transform()  # which puts it in its place; matplotlib's ticks ask for it
        super().draw(renderer)


class _QuickAxis(_Mixin):
    """What has small ticks, formulas or a common factor is left to matplotlib's own axis.

    along: 0 for x, 1 for y. marks, texts: matplotlib's names of what is on this side of the panel.
    """

    along: ClassVar[int]
    marks: ClassVar[str]
    texts: ClassVar[str]

    def reset_ticks(self) -> None:
        """Forget all ticks: matplotlib's would make a new one of each, to have its looks changed."""
        self.majorTicks: list[Any] = []
        self.minorTicks: list[Any] = []

    def get_ticks_position(self) -> Any:
        """The side of the marks, which matplotlib reads off a tick."""
        return self.marks

    def get_children(self) -> list[Artist]:
        """Those that there are: ticks are not made for it."""
        return [self.label, self.offsetText, *self.majorTicks, *self.minorTicks]

    def draw(self, renderer: Any) -> None:
        """Draw the grid, the marks, their texts and the label."""
        if not self.get_visible():
            return
        places, shown = self._ticks()
        texts = [plain_words(text) for text in shown]
        label = plain_words(self.label.get_text())
        alone = isinstance(self.get_minor_locator(), NullLocator) and not self._formatter().get_offset()
        if not alone or label is None or None in texts or not isinstance(renderer, RendererAgg):
            self._draw_as_matplotlib(renderer)
            return
        look = {**_usual_look("xy"[self.along]), **self.get_tick_params()}
        self._draw_lines(renderer, places, look)
        room = self._draw_texts(renderer, places, [text or "" for text in texts], look)
        self._draw_label(renderer, label, room)
        self.stale = False

    def _draw_as_matplotlib(self, renderer: Any) -> None:
        self.get_major_ticks()
        self.get_minor_ticks()
        self.set_clip_path(self.axes.patch)  # of their lines
        super().draw(renderer)

    def _formatter(self) -> Any:
        return self.major.formatter

    def _ticks(self) -> tuple[np.ndarray, list[str]]:
        """(pixels along the axis, texts) of the ticks within view."""
        locations = np.asarray(self.get_majorticklocs(), float)
        texts = self._formatter().format_ticks(locations)
        points = np.zeros((len(locations), 2))
        points[:, self.along] = locations
        transform = (self.axes.get_xaxis_transform, self.axes.get_yaxis_transform)[self.along]()
        places = transform.transform(points)[:, self.along]
        low, high = self._ends(self.along)
        within = (places >= low - _ROUNDING) & (places <= high + _ROUNDING)
        return places[within], [text for text, inside in zip(texts, within, strict=True) if inside]

    def _ends(self, direction: int) -> tuple[float, float]:
        """The pixels of the panel's ends, along x (0) or y (1)."""
        box = self.axes.bbox
        return ((box.x0, box.x1), (box.y0, box.y1))[direction]

    def _draw_lines(self, renderer: Any, places: np.ndarray, look: Look) -> None:
        low, high = self._ends(1 - self.along)
        if look["gridOn"]:
            width = look["grid_linewidth"]
            self._draw_across(renderer, places, (low, high), look["grid_color"], width, self.axes.bbox)
        if look[self.marks]:
            outer = low - _pixels(renderer, look["length"])
            self._draw_across(renderer, places, (outer, low), look["color"], look["width"])

    def _draw_across(
        self,
        renderer: Any,
        places: np.ndarray,
        ends: tuple[float, float],
        colour: str,
        points: float,
        within: Any = None,
    ) -> None:
        """Lines across the axis at these places, as one path. within: what cuts them off."""
        if not len(places):
            return
        lines = np.empty((len(places), 2, 2))
        lines[:, :, self.along] = places[:, None]
        lines[:, :, 1 - self.along] = ends
        gc = renderer.new_gc()
        gc.set_foreground(colour)
        gc.set_linewidth(points)
        gc.set_capstyle("butt")
        gc.set_snap(True)
        gc.set_clip_rectangle(within)
        codes = np.tile([Path.MOVETO, Path.LINETO], len(places))
        renderer.draw_path(gc, Path(lines.reshape(-1, 2), codes), IdentityTransform())
        gc.restore()

    def _draw_texts(self, renderer: Any, places: np.ndarray, texts: Sequence[str], look: Look) -> float:
        """Draw the texts beside the marks. Returns the pixels that both take beside the panel."""
        room = _pixels(renderer, look["length"]) if look[self.marks] else 0.0
        if not look[self.texts] or not any(texts):
            return room
        room += _pixels(renderer, look["pad"])
        size, colour = float(look["labelsize"]), look["labelcolor"]
        turned = look["rotation"] == _A_QUARTER_TURN
        return room + max(
            self._draw_text(renderer, place, text, room, size, colour, turned=turned)
            for place, text in zip(places, texts, strict=True)
            if text
        )

    def _draw_label(self, renderer: Any, label: str, room: float) -> None:
        """Draw the label beyond the ticks, along the axis."""
        if label and self.label.get_visible():
            middle, beyond = sum(self._ends(self.along)) / 2, room + _pixels(renderer, self.labelpad)
            size, colour = float(self.label.get_fontsize()), str(self.label.get_color())
            self._draw_text(renderer, middle, label, beyond, size, colour, turned=self.along == 1)

    def _draw_text(
        self,
        renderer: Any,
        place: float,
        text: str,
        room: float,
        points: float,
        colour: str,
        *,
        turned: bool,
    ) -> int:
        """Draw a text so many pixels beside the panel, its middle at a place of the axis. Returns its own pixels."""
        found = words(text, points, renderer.dpi, colour)
        line = words("lp", points, renderer.dpi, colour)  # the height that any text may have
        pixels = found.turned() if turned else found.pixels
        height, width = len(pixels), len(pixels[0])
        edge = self._ends(1 - self.along)[0] - room
        if self.along == 1:
            beside = width + (max(line.below - found.below, 0) if turned else 0)
            middle = height / 2 if turned else found.below + line.above / 2
            corner = (edge - beside, place - middle)
        else:
            beside = height if turned else max(line.above, found.above) + found.below
            corner = (place - width / 2, edge - beside)
        gc = renderer.new_gc()
        renderer.draw_image(gc, round(corner[0]), round(corner[1]), pixels)
        gc.restore()
        return beside


class _QuickXAxis(_QuickAxis, XAxis):
    along, marks, texts = 0, "bottom", "labelbottom"


class _QuickYAxis(_QuickAxis, YAxis):
    along, marks, texts = 1, "left", "labelleft"


def _pixels(renderer: Any, points: float) -> float:
    return points * float(renderer.dpi) / _POINTS_AN_INCH


@lru_cache(maxsize=2)
def _usual_look(axis: str) -> Look:
    """What an axis, x or y, does not state of its ticks."""
    stated: Any = rcParams
    colour, of_text = stated[f"{axis}tick.color"], stated[f"{axis}tick.labelcolor"]
    return {
        "length": stated[f"{axis}tick.major.size"],
        "width": stated[f"{axis}tick.major.width"],
        "pad": stated[f"{axis}tick.major.pad"],
        "color": colour,
        "labelcolor": colour if of_text == "inherit" else of_text,
        "labelsize": FontProperties(size=stated[f"{axis}tick.labelsize"]).get_size_in_points(),
        "rotation": 0,
        "grid_color": stated["grid.color"],
        "grid_linewidth": stated["grid.linewidth"],
    }
