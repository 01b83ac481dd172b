"""The gain from models of the clients' own: every client with the global model and with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.evaluation.final import Generalisation
from federated.report.figures.style import Margins, blank
from federated.report.findings.strokes import GREY, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def personalisation_picture(found: Generalisation) -> Figure | None:
    """The headline measure after against before, a dot a client; and the gains from the least to the greatest.

    None where there are no two models to compare.
    """
    if found.personalised is None:
        return None
    some = np.isfinite(found.personalised.gains)
    if not some.any():
        return None
    before, after, gains = (part[some] for part in found.personalised[:3])
    figure, panels = blank(9.5, 3.9, columns=2, margins=Margins(between=0.75), width_ratios=[1, 1.4])
    name = found.scoring.headline.label
    own = (
        "after fine-tuning on the client" if found.personalised.tuned else f"{name} of the client's own model"
    )
    _before_and_after(panels[0, 0], before, after, gains, (f"{name} of the global model", own))
    _gains(panels[0, 1], gains, found.metrics, name, rises=found.scoring.headline.better == "higher")
    return figure


def _before_and_after(
    panel: Axes, before: np.ndarray, after: np.ndarray, gains: np.ndarray, labels: tuple[str, str]
) -> None:
    low, high = min(before.min(), after.min()), max(before.max(), after.max())
    room = 0.04 * (high - low) or 0.02
    ends = (low - room, high + room)
    panel.plot(ends, ends, color=GREY, lw=0.8, ls=(0, (4, 2)))
    colours = [_colour(gain) for gain in gains]
    panel.scatter(before, after, s=22, c=colours, alpha=0.75, lw=0)
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])


def _gains(panel: Axes, gains: np.ndarray, metrics: dict[str, float], name: str, *, rises: bool) -> None:
    rising = np.sort(gains)
    # Lines, and not a bar of a patch each: there may be thousands.
    panel.vlines(np.arange(len(rising)), 0, rising, colors=[_colour(gain) for gain in rising], lw=2)
    panel.axhline(0, color=GREY, lw=0.8)
    mean = metrics["generalisation/personalisation_gain"]
    panel.axhline(mean, color="#333333", lw=1.1, ls=(0, (4, 1.5)))
    share = metrics["generalisation/personalisation_gainers"]
    panel.set_xticks([])
    panel.set_xlabel(f"clients by gain; {share:.0%} gain, mean (dashed) {mean:+.3g}".replace("-", "−"))
    panel.set_ylabel(f"gain in {name}" if rises else f"fall of the {name}")


def _colour(gain: float) -> str:
    return OKABE_ITO[0] if gain > 0 else OKABE_ITO[1] if gain < 0 else GREY
