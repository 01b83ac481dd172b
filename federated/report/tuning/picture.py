"""The best score so far of each arm, by trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from federated.metrics.names import metric_label
from federated.report.figures.style import blank, plain
from federated.report.findings.strokes import NOT_DRAWN, Stroke
from federated.tuning.found import ArmTuning

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def best_so_far_picture(arms: Sequence[ArmTuning], strokes: Mapping[str, Stroke]) -> Figure | None:
    """A step line for each arm, with a mark where its best changed; None where nothing was tried."""
    tried = [arm for arm in arms if any(score is not None for score in arm.best_so_far())]
    if not tried:
        return None
    figure, panels = blank(7.0, 3.4)
    panel = panels[0, 0]
    for arm in tried:
        stroke = strokes.get(arm.arm, NOT_DRAWN)
        best = np.array([np.nan if score is None else score for score in arm.best_so_far()])
        numbers = np.arange(1, len(best) + 1)
        panel.step(
            numbers, best, where="post", color=stroke.colour, linestyle=stroke.line, label=plain(arm.arm)
        )
        new = np.isfinite(best) & (np.append(np.nan, best[:-1]) != best)
        panel.plot(numbers[new], best[new], stroke.marker, color=stroke.colour, markersize=5)
    panel.set_xlabel("trial")
    panel.set_ylabel(f"best {metric_label(tried[0].metric)} so far")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend(fontsize=8, frameon=False, loc="best")
    return figure
