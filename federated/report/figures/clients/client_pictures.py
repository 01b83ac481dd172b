"""The accuracy of the model by client and by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.evaluation.final import Generalisation
from federated.metrics.calibration import Confusion, class_accuracy
from federated.report.figures.style import Margins, blank, name_places, plain, say
from federated.report.findings.strokes import GREY, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = {True: ("takes part", OKABE_ITO[0], "o"), False: ("never took part", OKABE_ITO[1], "^")}
_MOST_NAMED = 30
_MOST_COUNTED = 12
_MOST_DRAWN = 1000
"""Classes: more than the picture has dots, and their square would fill the memory."""
_LONGEST_NAME = 14


def client_picture(found: Generalisation) -> Figure | None:
    """The headline measure of each client: a strip with its mean, and against the client's own divergence.

    For regression, against the size of its held-out part. None where no client holds anything out.
    """
    values = np.array(
        [np.nan if v is None else v for v in found.clients.get(found.scoring.headline.name, [])]
    )
    if not np.isfinite(values).any():
        return None
    margins = Margins(between=0.15)
    figure, panels = blank(9.5, 3.6, columns=2, margins=margins, sharey=True, width_ratios=[1, 2])
    takes_part = np.array(found.clients["takes_part"])
    _strip(panels[0, 0], values, takes_part)
    name = found.scoring.headline.label
    panels[0, 0].set_ylabel(f"{name} on the client's held-out examples")
    if found.confusion is not None:
        _scatter(panels[0, 1], found.clients["label_divergence_bits"], values, takes_part)
        panels[0, 1].set_xlabel("divergence of the client's labels from the pool, bits")
    else:
        _scatter(panels[0, 1], found.clients["held_out_examples"], values, takes_part)
        panels[0, 1].set_xlabel("the client's held-out examples")
    return figure


def class_picture(found: Generalisation) -> Figure | None:
    """Confusion matrix, rows in shares, and reliability of the central test set; None for regression."""
    if found.confusion is None or found.reliability is None:
        return None
    room = 0.07 * max(len(plain(name, _LONGEST_NAME)) for name in found.classes)
    margins = Margins(left=0.95 + room, bottom=0.45 + room, between=0.65)
    figure, panels = blank(9.5, 4.4, columns=2, margins=margins, width_ratios=[1.15, 1])
    _confusion(panels[0, 0], found.confusion, found.classes)
    _reliability(panels[0, 1], found)
    return figure


def _strip(panel: Axes, values: np.ndarray, takes_part: np.ndarray) -> None:
    """A dot a client, side by side by rank so that none hides another, and a bar at the mean."""
    groups = [group for group in (True, False) if np.isfinite(values[takes_part == group]).any()]
    for at, group in enumerate(groups):
        mine = np.sort(values[(takes_part == group) & np.isfinite(values)])
        _, colour, marker = _LOOKS[group]
        offsets = (np.arange(len(mine)) * 0.382 % 1 - 0.5) * 0.5
        panel.plot(at + offsets, mine, marker, color=colour, ms=4, alpha=0.6, mec="white", mew=0.3)
        panel.plot([at - 0.36, at + 0.36], [mine.mean()] * 2, color=colour, lw=1.8)
    name_places(panel.xaxis, range(len(groups)), [_LOOKS[group][0] for group in groups])
    panel.set_xlim(-0.6, len(groups) - 0.4)
    panel.grid(axis="x", visible=False)
    panel.set_xlabel("bar: mean over clients")


def _scatter(panel: Axes, x: list[float | None], values: np.ndarray, takes_part: np.ndarray) -> None:
    places = np.array([np.nan if value is None else value for value in x], np.float64)
    for group in (True, False):
        mine = takes_part == group
        if mine.any():
            label, colour, marker = _LOOKS[group]
            panel.scatter(
                places[mine], values[mine], s=22, color=colour, marker=marker, alpha=0.7, lw=0, label=label
            )
    panel.legend(frameon=False, fontsize=8)


def _confusion(panel: Axes, found: Confusion, classes: tuple[str, ...]) -> None:
    if len(classes) > _MOST_DRAWN:
        say(panel, f"{len(classes):,} classes: what they are\ntaken for is in classes.json")
        return
    counts = found.table()
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    panel.grid(visible=False)
    step = -(-len(classes) // _MOST_NAMED)
    ticks = np.arange(0, len(classes), step)
    names = [plain(name, _LONGEST_NAME) for name in classes[::step]]
    name_places(panel.xaxis, ticks, names, 7, turned=max(map(len, names)) > 2)
    accuracy = class_accuracy(found)[::step]
    rows = [f"{name}  {value:.2f}" for name, value in zip(names, accuracy, strict=True)]
    name_places(panel.yaxis, ticks, rows, 7)
    panel.set_xlabel("taken for")
    panel.set_ylabel("class, and share that is right")
    if len(classes) <= _MOST_COUNTED:
        from federated.report.figures.words import Cells

        some = zip(*np.nonzero(counts), strict=True)
        cells = [(x, y, str(counts[y, x]), "white" if shares[y, x] > 0.5 else "#444444") for y, x in some]
        panel.add_artist(Cells(cells, 7, panel.transData))


def _reliability(panel: Axes, found: Generalisation) -> None:
    """Accuracy over confidence; on the diagonal the model is as right as it is sure."""
    table = found.reliability
    if table is None or not len(table.shares):
        say(panel, "no test example")
        return
    panel.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=(0, (4, 2)))
    panel.plot(table.confidence, table.accuracy, color=OKABE_ITO[0], lw=1.2)
    panel.scatter(table.confidence, table.accuracy, s=12 + 250 * table.shares, color=OKABE_ITO[0], alpha=0.75)
    panel.set_xlim(0, 1.02)
    panel.set_ylim(0, 1.02)
    panel.set_xlabel(f"confidence (expected calibration error {table.error:.3f})")
    panel.set_ylabel("accuracy (size: share of examples)")
