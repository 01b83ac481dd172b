"""The picture of critical differences: methods along their mean rank over data sets, those not told apart joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.report.across.methods import Across
from federated.report.figures.style import blank, plain
from federated.report.findings.strokes import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE, _LONGEST = 0.28, 48
"""Inches between names, and the most characters of one."""


def critical_difference(found: Across | None) -> Figure | None:
    """Best on the left; a thick line joins methods among which no pair is told apart. None where nothing is ranked."""
    if found is None or found.ranked is None:
        return None
    ranks, groups = found.ranked.ranks, found.ranked.groups
    count = len(ranks)
    order = np.argsort(ranks, kind="stable")
    half = (count + 1) // 2
    depth = max(half, count - half)
    joined = len(groups)
    height = 1.1 + _LINE * (depth + 0.6 * joined)
    figure, panels = blank(9.0, height)
    panel = panels[0, 0]
    panel.set_xlim(1 - 0.02 * (count - 1), count + 0.02 * (count - 1))
    panel.set_ylim(-(depth + 0.6 * joined + 0.5), 0.3)
    panel.grid(visible=False)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.spines["bottom"].set_visible(False)
    panel.spines["top"].set_visible(True)
    panel.spines["top"].set_color("#999999")
    panel.xaxis.tick_top()
    panel.xaxis.set_label_position("top")
    panel.set_xticks(range(1, count + 1))
    panel.set_xlabel(f"mean rank over {len(found.data_sets)} data sets, 1 is best")
    for line, group in enumerate(groups):
        at = -0.35 - 0.6 * line
        ends = ranks[group].min() - 0.012 * (count - 1), ranks[group].max() + 0.012 * (count - 1)
        panel.plot(ends, (at, at), color="#1b1f24", linewidth=3.2, solid_capstyle="butt")
    for place, method in enumerate(order):
        left = place < half
        line = place if left else count - 1 - place
        at = -(0.6 * joined + 0.6 + line)
        edge = panel.get_xlim()[0 if left else 1]
        panel.plot((ranks[method], ranks[method], edge), (0.3, at, at), color=GREY, linewidth=0.9)
        name = f"{plain(found.methods[method], _LONGEST)}  {ranks[method]:.2f}"
        panel.annotate(
            name,
            (edge, at),
            xytext=(-4 if left else 4, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    return figure
