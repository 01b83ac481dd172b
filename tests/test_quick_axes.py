"""Axes that draw their ticks together look like matplotlib's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from federated.report.figures.quick_axes import QuickAxes
from federated.report.figures.style import blank, name_places, restrained
from federated.report.figures.words import Cells, plain_words, words

_DARK, _NEAR = 110, 2


def pixels(figure: Figure) -> np.ndarray:
    """Whether each pixel is dark, [height, width]."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    dark: np.ndarray = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2) < _DARK
    return dark


def panel_of(kind: type[Axes]) -> Axes:
    figure = Figure(figsize=(4, 3), dpi=130)
    panel = figure.subplots(subplot_kw={"axes_class": kind})
    assert isinstance(panel, Axes)
    return panel


def lines(panel: Axes) -> None:
    panel.plot([0, 1, 2], [-0.5, 0.25, 1.0], color="black")
    panel.set_xlabel("cumulative uplink, MB")
    panel.set_ylabel("test accuracy (qgy)")


def names(panel: Axes) -> None:
    panel.set_xlim(-0.5, 3.5)
    name_places(panel.xaxis, range(4), ["Ann", "Bo", "", r"\$x_q"], 9, turned=True)
    name_places(panel.yaxis, [0.0, 0.5, 7.0], ["low", "Ωμέγα", "out of view"], 7)
    panel.grid(visible=False)


def grid(panel: Axes) -> None:
    restrained(panel)
    panel.grid(color="black", linewidth=1.0)
    panel.set_yscale("log")
    panel.set_ylim(0.05, 20)
    panel.yaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()


def left_to_matplotlib(panel: Axes) -> None:
    """Small ticks and formulas along y, a common factor along x."""
    panel.set_xlim(1_000_000_000, 1_000_000_001)
    panel.set_yscale("log")
    panel.set_ylim(0.05, 20)


def near(dark: np.ndarray) -> np.ndarray:
    """Whether there is a dark pixel within two pixels of each."""
    found = np.zeros_like(dark)
    for down in range(-_NEAR, _NEAR + 1):
        for right in range(-_NEAR, _NEAR + 1):
            found |= np.roll(dark, (down, right), axis=(0, 1))
    return found


def unlike(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The share of either's dark pixels that have none of the other's near them."""
    alone = (ours & ~near(theirs)).sum() + (theirs & ~near(ours)).sum()
    return float(alone / (ours.sum() + theirs.sum()))


@pytest.mark.parametrize(
    "draw", [lines, names, grid, left_to_matplotlib], ids=lambda draw: str(draw.__name__)
)
def test_a_picture_is_that_of_matplotlib(draw: object) -> None:
    assert callable(draw)
    drawn = []
    for kind in (QuickAxes, Axes):
        panel = panel_of(kind)
        draw(panel)
        figure = panel.figure
        assert isinstance(figure, Figure)
        drawn.append(pixels(figure))
    assert unlike(*drawn) < 0.01
    assert unlike(drawn[0], drawn[1][::-1]) > 0.1  # or all pictures would pass


def test_no_tick_is_made_to_draw_a_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(Tick, "__init__", lambda *arguments, **named: made.append(arguments))
    panel = panel_of(QuickAxes)
    restrained(panel)
    lines(panel)
    figure = panel.figure
    assert isinstance(figure, Figure)
    assert pixels(figure).any()
    assert not made


def test_the_pictures_of_runs_have_such_axes_and_those_of_studies_matplotlibs() -> None:
    from federated.report.figures.style import Margins

    assert isinstance(blank(4, 3, margins=Margins())[0].axes[0], QuickAxes)
    assert not isinstance(blank(4, 3)[0].axes[0], QuickAxes)


def test_names_are_at_their_places_and_no_others() -> None:
    panel = panel_of(QuickAxes)
    names(panel)
    assert isinstance(panel.xaxis.get_major_locator(), FixedLocator)
    assert isinstance(panel.xaxis.get_major_formatter(), FixedFormatter)
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["Ann", "Bo", "", r"\$x_q"]


def test_cells_are_centred_on_their_places() -> None:
    panel = panel_of(QuickAxes)
    panel.set_axis_off()
    panel.set_xlim(0, 10)
    panel.set_ylim(0, 10)
    panel.add_artist(Cells([(2, 8, "WWW", "black")], 9, panel.transData))
    figure = panel.figure
    assert isinstance(figure, Figure)
    rows, columns = np.nonzero(pixels(figure))
    across, up = panel.transData.transform((2, 8))
    assert columns.mean() == pytest.approx(across, abs=1.5)
    assert 390 - rows.mean() == pytest.approx(up, abs=1.5)


def test_a_text_is_in_its_colour_and_stands_on_its_base_line() -> None:
    assert (words("x", 10, 100, "#ff8000").pixels[..., :3] == (255, 128, 0)).all()
    assert words("x", 10, 100, "black").below == 0
    assert words("q", 10, 100, "black").below > 0
    tall = words("Il", 10, 100, "black")
    assert tall.turned().shape == (*tall.pixels.shape[1::-1], 4)


def test_formulas_and_several_lines_are_not_plain() -> None:
    assert [plain_words(text) for text in ("a", r"\$5", "$x$", "a\nb")] == ["a", "$5", None, None]
