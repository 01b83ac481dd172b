"""The sizes of the clients and the divergence of their labels, against a random partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from data_partitioners.heterogeneity import Fingerprint
from federated.report.figures.style import Margins, blank, say
from federated.report.findings.strokes import GREY, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 50
_SHOWN = "label_hellinger"
_SIZE, _CLIENTS, _CHANCE = OKABE_ITO[0], OKABE_ITO[1], "#b5b5b5"


def divergence_picture(fingerprint: Fingerprint, sizes: np.ndarray, largest: int | None = None) -> Figure:
    """Left, sizes in falling order; right, the clients' Hellinger distances from the pool.

    sizes: int [K]. largest: top of the axis of sizes, so that several partitions can be laid side by side.
    The grey area is where clients of random partitions with the same sizes lie, all of 199 or 39 draws.
    """
    figure, panels = blank(9.5, 2.5, columns=2, margins=Margins(left=0.8, between=0.75, top=0.35))
    _draw_sizes(panels[0, 0], sizes, largest)
    _draw_divergences(panels[0, 1], fingerprint)
    return figure


def _draw_sizes(panel: Axes, sizes: np.ndarray, largest: int | None) -> None:
    from matplotlib.ticker import FixedLocator

    edges = np.arange(len(sizes) + 1) + 0.5
    panel.stairs(-np.sort(-sizes), edges, fill=True, color=_SIZE)
    panel.axhline(sizes.mean(), color=GREY, lw=1, ls="--")
    panel.set_xlim(0.5, len(sizes) + 0.5)
    panel.set_ylim(0, 1.05 * max(largest or 0, int(sizes.max())))
    panel.grid(axis="x", visible=False)
    if len(sizes) <= 10:
        panel.xaxis.set_major_locator(FixedLocator(range(1, len(sizes) + 1)))
    else:
        panel.locator_params(axis="x", integer=True)  # clients are counted: no tick at 2.5
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.yaxis.set_major_formatter("{x:,.0f}")
    panel.set_xlabel("clients, largest first (dashed: mean)")
    panel.set_ylabel("training examples")


def _draw_divergences(panel: Axes, fingerprint: Fingerprint) -> None:
    panel.set_xlabel("Hellinger distance of a client's labels from the pool's")
    panel.set_ylabel("share of clients")
    panel.set_xlim(0, 1)
    distances = fingerprint.by_client.get(_SHOWN, np.empty(0))
    distances = distances[~np.isnan(distances)]
    if not len(distances):
        say(panel, "no labels")
        return
    edges = np.linspace(0, 1, _BINS + 1)
    chance = fingerprint.null_histogram.reshape(_BINS, -1).sum(axis=1)
    found = np.histogram(distances, edges)[0] / len(distances)
    panel.stairs(chance, edges, fill=True, color=_CHANCE, label="IID with these sizes")
    panel.stairs(found, edges, fill=True, color=_CLIENTS, alpha=0.75, label="clients")
    mean = fingerprint.measures[f"{_SHOWN}_weighted_mean"].value
    panel.axvline(mean, color=_CLIENTS, lw=1, ls="--", label="mean, weighted by size")
    panel.grid(axis="x", visible=False)
    panel.set_ylim(0, 1.05 * max(chance.max(), found.max()))
    panel.legend(
        frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1.02, 0.98), borderpad=0
    )
