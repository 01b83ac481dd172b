"""A picture of a partition, clients against labels, legible with 5 clients and with 5,000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated.report.figures.style import Margins, blank, name_places, plain
from federated.report.findings.strokes import OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import StepPatch

MOST_BARS = 50
"""Clients up to which each is named; beyond, they are sorted so that the shape of the partition shows."""

# fmt: off
LABEL_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)
# fmt: on
"""Ten that are told apart with every kind of colour vision: Petroff 2021, arXiv:2107.02270."""

_WIDTH = 9.5
_MOST_TICKS = 34
_LONGEST_NAME = 22
_CHARACTER = 0.065
"""Width of a character of 8 points, in inches."""

_MOST_COLUMNS = 1000
"""Of a heat map: about as many as it has dots."""

_GAMMA = 0.35
"""Below 1, so that small shares show on a scale that is the same for every partition."""


def partition_picture(
    label_counts: np.ndarray | None, sizes: np.ndarray, names: Sequence[str], classes: Sequence[str] | None
) -> Figure:
    """Training examples of each client.

    label_counts: int [K, classes], None for regression. sizes: int [K]. names: of the K clients. classes:
    names of the classes, None for regression.

    Up to 50 clients and 10 labels, stacked bars: more colours are not told apart. Beyond, a heat map of each
    client's label shares under its size. For regression, sizes alone.
    """
    if label_counts is None or classes is None:
        return _sizes_alone(sizes, names)
    if len(sizes) <= MOST_BARS and len(classes) <= len(LABEL_COLOURS):
        return _stacked_bars(label_counts, names, classes)
    return _heat_map(label_counts, names, classes)


def _sizes_alone(sizes: np.ndarray, names: Sequence[str]) -> Figure:
    room = _room_below(names)
    figure, panels = blank(_WIDTH, 2.7 + room, margins=Margins(bottom=room))
    _draw_sizes(panels[0, 0], sizes if len(sizes) <= MOST_BARS else -np.sort(-sizes))
    _client_axis(panels[0, 0], names, "sorted by size")
    return figure


def _stacked_bars(label_counts: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> Figure:
    labels, room = [_shown(name) for name in classes], _room_below(names)
    margins = Margins(bottom=room, right=0.65 + _CHARACTER * max(map(len, labels), default=0))
    figure, panels = blank(_WIDTH, 3.1 + room, margins=margins)
    tops = label_counts.cumsum(axis=1)
    bars = [
        _bars(panels[0, 0], top - counts, top, colour)
        for counts, top, colour in zip(label_counts.T, tops.T, LABEL_COLOURS, strict=False)
    ]
    panels[0, 0].set_ylabel("training examples")
    _client_axis(panels[0, 0], names)
    # Reversed, so that the legend runs from top to bottom as the bars do.
    legend = figure.legend(
        bars[::-1], labels[::-1], loc="upper right", title="label", frameon=False, fontsize=8
    )
    legend.get_title().set_fontsize(8)
    return figure


def _heat_map(label_counts: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> Figure:
    """Sizes above, label shares below, client under client; a client that holds nothing is grey."""
    counts = label_counts if len(names) <= MOST_BARS else label_counts[_by_main_labels(label_counts)]
    heights, room = [1.2, min(max(0.16 * len(classes), 1.5), 5.5)], _room_below(names)
    left = 0.5 + _CHARACTER * max(len(_shown(name)) for name in classes)
    margins = Margins(left=max(left, 0.65), right=1.1, bottom=room)
    figure, panels = blank(
        _WIDTH, sum(heights) + 0.35 + room, rows=2, margins=margins, sharex=True, height_ratios=heights
    )
    _draw_sizes(panels[0, 0], counts.sum(axis=1))
    _draw_shares(panels[1, 0], counts)
    _class_axis(panels[1, 0], classes)
    empty = int((counts.sum(axis=1) == 0).sum())
    order = "grouped by their most frequent label, then by the second" + (
        f"; {empty:,} empty" if empty else ""
    )
    _client_axis(panels[1, 0], names, order)
    panels[0, 0].tick_params(labelbottom=False)
    return figure


def _draw_shares(panel: Axes, counts: np.ndarray) -> None:
    """The heat map with its scale at the right. counts: int [K, classes], in the order of the axis."""
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    image = panel.imshow(
        _binned(_shares(counts)).T,
        cmap=colormaps["Blues"].with_extremes(bad="#cccccc"),
        norm=PowerNorm(_GAMMA, 0, 1),
        aspect="auto",
        interpolation="nearest",
        extent=(-0.5, len(counts) - 0.5, counts.shape[1] - 0.5, -0.5),
    )
    scale = panel.figure.colorbar(
        image, cax=panel.inset_axes((1.015, 0, 0.018, 1)), ticks=[0, 0.01, 0.1, 0.25, 0.5, 1]
    )
    scale.set_label("share of the client's examples", fontsize=8)
    scale.ax.tick_params(labelsize=8)


def _shares(counts: np.ndarray) -> np.ndarray:
    """The label mix of each client, NaN where it is empty. int [K, classes] -> float [K, classes]."""
    sizes = counts.sum(axis=1, keepdims=True)
    return np.where(sizes > 0, counts / np.maximum(sizes, 1), np.nan)


def _binned(shares: np.ndarray) -> np.ndarray:
    """The mean of neighbours, where clients are more than dots. [K, classes] -> [<= 1000, classes]."""
    width = -(-len(shares) // _MOST_COLUMNS)
    padded = np.pad(shares, ((0, -len(shares) % width), (0, 0)), constant_values=np.nan)
    neighbours = np.ma.masked_invalid(padded.reshape(-1, width, shares.shape[1]))
    return np.asarray(neighbours.mean(axis=1).filled(np.nan))


def _by_main_labels(counts: np.ndarray) -> np.ndarray:
    """Order [K] of the clients: by most frequent label, then by the second, the purest last; empty ones at the end."""
    none = counts.shape[1]  # after every label
    padded = np.pad(counts, ((0, 0), (0, 1)))
    ranked = np.argsort(-padded, axis=1, kind="stable")[:, :2]
    main, second = np.where(np.take_along_axis(padded, ranked, axis=1) > 0, ranked, none).T
    purity = counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return np.lexsort((purity, second, main))


def _draw_sizes(panel: Axes, sizes: np.ndarray) -> None:
    """sizes: int [K], in the order of the axis."""
    if len(sizes) <= MOST_BARS:
        _bars(panel, np.zeros_like(sizes), sizes, OKABE_ITO[0])
    else:
        panel.fill_between(np.arange(len(sizes)), sizes, step="mid", color=OKABE_ITO[0], lw=0)
        panel.set_ylim(bottom=0)
    panel.set_ylabel("training examples")


def _bars(panel: Axes, bottoms: np.ndarray, tops: np.ndarray, colour: str) -> StepPatch:
    """A bar for each client [K], all as one artist, which is drawn much faster than one for each."""
    edges = (np.arange(len(tops))[:, None] + [-0.42, 0.42]).ravel()
    gapped = np.stack([tops, np.full(len(tops), np.nan)], axis=1).ravel()[:-1]
    return panel.stairs(
        gapped, edges, baseline=np.repeat(bottoms, 2)[:-1], fill=True, fc=colour, ec="white", lw=0.4
    )


def _client_axis(panel: Axes, names: Sequence[str], order: str = "") -> None:
    """Name up to 50 clients, of numbers every second where they crowd; beyond, say how they are sorted."""
    panel.grid(axis="x", visible=False)
    panel.set_xlim(-0.6, len(names) - 0.4)
    if len(names) > MOST_BARS:
        panel.set_xlabel(f"{len(names):,} clients, {order}")
        panel.xaxis.set_major_formatter("{x:,.0f}")
        return
    step = 2 if len(names) > MOST_BARS // 2 and all(name.isdecimal() for name in names) else 1
    shown = [_shown(name) for name in names[::step]]
    name_places(panel.xaxis, np.arange(0, len(names), step), shown, turned=_crowded(names))
    panel.set_xlabel("client")


def _crowded(names: Sequence[str]) -> bool:
    return len(names) <= MOST_BARS and len(names) * max(map(len, names), default=0) > 110


def _room_below(names: Sequence[str]) -> float:
    """Inches for the names of the clients and the label of the axis."""
    return 0.45 + _CHARACTER * max(len(_shown(name)) for name in names) if _crowded(names) else 0.5


def _class_axis(panel: Axes, classes: Sequence[str]) -> None:
    """Name the classes; with 100 of them, every third."""
    panel.grid(visible=False)
    step = -(-len(classes) // _MOST_TICKS)
    name_places(panel.yaxis, np.arange(0, len(classes), step), [_shown(name) for name in classes[::step]], 7)
    panel.set_ylabel("label")


def _shown(name: str) -> str:
    return plain(str(name), _LONGEST_NAME)
