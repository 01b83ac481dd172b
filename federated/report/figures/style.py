"""The style shared by all figures: panels, axes, displayable names, PNG output."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from federated.foundation.texts import in_a_line, shortened
from federated.metrics.names import metric_label
from federated.report.figures.glyphs import choose_fonts, drawable
from federated.report.findings.strokes import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_COMPRESSION = 3
"""Of a PNG, from 0 to 9: a fifth less time a picture than with the usual 6, and a tenth to a quarter more bytes."""
_MOST_STEPS = 5
"""Between the numbers of an axis of a run's picture."""
_MOST_FIFTHS = 100.0
"""Ratio of a logarithmic axis's ends up to which 2 and 5 are marked between powers of ten."""


def plain(text: str, longest: int = 60) -> str:
    """A name as a picture can show it: on one line, in letters that are there, and no dollar sign begins a formula.

    Of more than `longest` characters, it is cut in the middle.
    """
    return shortened(drawable(in_a_line(text)), longest).replace("$", r"\$")


class Margins(NamedTuple):
    """Room around and between panels, in inches."""

    left: float = 0.65
    right: float = 0.15
    bottom: float = 0.5
    top: float = 0.15
    between: float = 0.2


def blank(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    margins: Margins | None = None,
    **options: Any,
) -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches and its panels [rows, columns]; no global state is touched.

    Without `margins` the room is measured, which is safe for labels of any length but takes twice the time. With them
    it is one of the many pictures of a study, whose axes have few numbers.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06) if margins is None else None
    figure = Figure(figsize=(width, height), layout=layout)
    if margins is not None:
        from federated.report.figures.quick_axes import QuickAxes

        options["subplot_kw"] = {"axes_class": QuickAxes}
    panels = figure.subplots(rows, columns, squeeze=False, **options)
    for panel in panels.flat:
        restrained(panel)
    if margins is not None:
        _place(figure, margins, rows, columns)
        for panel in panels.flat:
            panel.locator_params(nbins=_MOST_STEPS)  # a tick with its number and line takes 1.5 ms
    return figure, panels


def _place(figure: Figure, margins: Margins, rows: int, columns: int) -> None:
    """Margins in inches, in the fractions that matplotlib wants: gaps count in mean widths of a panel."""
    width, height = figure.get_size_inches()
    inner_width = (width - margins.left - margins.right - (columns - 1) * margins.between) / columns
    inner_height = (height - margins.top - margins.bottom - (rows - 1) * margins.between) / rows
    figure.subplots_adjust(
        left=margins.left / width,
        right=1 - margins.right / width,
        bottom=margins.bottom / height,
        top=1 - margins.top / height,
        wspace=margins.between / inner_width,
        hspace=margins.between / inner_height,
    )


def restrained(panel: Axes) -> None:
    """Light grid, no box, small text."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#999999")
    panel.grid(color="#e4e4e4", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8, color="#999999")
    panel.xaxis.label.set_fontsize(9)
    panel.yaxis.label.set_fontsize(9)


def finite(values: np.ndarray) -> np.ndarray:
    """A gap where a value is not a number: infinity would leave no room for the others. float [n] -> [n]."""
    return np.where(np.isfinite(values), values, np.nan)


def label_pair(by_round: Axes, by_uplink: Axes, metric: str) -> None:
    """Label two panels of one metric, against rounds and against MB; both show the same range of it.

    R² has no lower end and a poor start would flatten the rest, so its axis is cut at -1.
    """
    name = metric_label(metric)
    if metric.endswith("r2") and by_round.get_ylim()[0] < -1 < by_round.get_ylim()[1]:
        by_round.set_ylim(-1, by_round.dataLim.y1 + 0.1)
        name += " (axis cut at −1)"
    label_rounds(by_round, name)
    by_uplink.set_ylim(by_round.get_ylim())
    by_uplink.set_xlabel("cumulative uplink, MB")
    by_uplink.set_ylabel(name)


def name_places(
    axis: Axis,
    places: Sequence[float] | np.ndarray,
    names: Sequence[str],
    points: int = 8,
    *,
    turned: bool = False,
) -> None:
    """Write names at these places of an axis; turned: from bottom to top.

    `set_xticks` does it too, but makes an object of every tick, which takes longer than to draw them.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator

    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_major_formatter(FixedFormatter(names))
    axis.set_tick_params(labelsize=points, labelrotation=90 if turned else 0)


def label_rounds(panel: Axes, name: str) -> None:
    """Whole rounds along x, `name` along y."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10]))
    panel.set_xlabel("round")
    panel.set_ylabel(name)


def logarithmic_x(panel: Axes, low: float, high: float) -> None:
    """A logarithmic axis for values from `low` > 0 to `high`, with numbers that can be read off."""
    from matplotlib.ticker import LogLocator

    panel.set_xscale("log", nonpositive="mask")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _MOST_FIFTHS else (1,)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()


def say(panel: Axes, message: str) -> None:
    """A few words in the middle of a panel that has nothing to show."""
    panel.text(0.5, 0.5, message, transform=panel.transAxes, ha="center", color=GREY, fontsize=9)


def png(figure: Figure, dots_per_inch: int = 130) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    choose_fonts(figure)
    figure.savefig(buffer, format="png", dpi=dots_per_inch, pil_kwargs={"compress_level": _COMPRESSION})
    return buffer.getvalue()
