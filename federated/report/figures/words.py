"""Short texts as bitmaps, made once for all pictures of a process: a text of matplotlib is laid out for each anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_rgb
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.transforms import Transform

from federated.report.figures.glyphs import families_of

_SUBPIXELS = 64


class Words(NamedTuple):
    """A line of text. pixels: uint8 [height, width, 4], from the bottom up. below: pixels of it below the base line."""

    pixels: np.ndarray
    below: int

    @property
    def above(self) -> int:
        """Pixels of it above the base line."""
        return len(self.pixels) - self.below

    def turned(self) -> np.ndarray:
        """The pixels [width, height, 4] of the text read from the bottom to the top."""
        return np.ascontiguousarray(np.rot90(self.pixels, -1))


@lru_cache(maxsize=4096)
def words(text: str, points: float, dpi: float, colour: str) -> Words:
    """The bitmap of a text of one line, without formulas."""
    font = get_font([findfont(family) for family in families_of(text)])
    font.clear()
    font.set_size(points, dpi)
    font.set_text(text, 0.0, flags=LoadFlags.DEFAULT)
    font.draw_glyphs_to_bitmap(antialiased=True)
    alpha = np.array(font.get_image())
    pixels = np.empty((*alpha.shape, 4), np.uint8)
    pixels[..., :3] = [round(255 * part) for part in to_rgb(colour)]
    pixels[..., 3] = alpha[::-1]
    return Words(pixels, round(font.get_descent() / _SUBPIXELS))


def plain_words(text: str) -> str | None:
    """The characters of a text of matplotlib's; None where it has formulas or several lines."""
    return None if "\n" in text or is_math_text(text) else text.replace(r"\$", "$")


class Cells(Artist):
    """Short texts in the middle of places in the data of a panel, such as the numbers of a table."""

    zorder = 3

    def __init__(
        self, cells: Sequence[tuple[float, float, str, str]], points: float, places: Transform
    ) -> None:
        """cells: (x, y, text, colour). places: from there to pixels."""
        super().__init__()
        self.cells, self._points, self._places = cells, points, places

    def draw(self, renderer: Any) -> None:
        """Draw them all."""
        gc = renderer.new_gc()
        for x, y, text, colour in self.cells:
            pixels = words(text, self._points, renderer.dpi, colour).pixels
            across, up = self._places.transform((x, y))
            height, width = pixels.shape[:2]
            renderer.draw_image(gc, round(across - width / 2), round(up - height / 2), pixels)
        gc.restore()
