"""Pictures of attacks: curves of membership inference, and images beside those drawn again from updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.attacks.inversion import Drawn, InversionFound
from federated.attacks.membership import MembershipFound
from federated.report.figures.style import Margins, blank, plain
from federated.report.findings.strokes import GREY, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_RATE = 1e-3
_MOST_IMAGES = 8
_INCHES = 1.05
_LABELS = {
    "membership_loss": "loss, model",
    "membership_lira": "LiRA, model",
    "membership_lira_offline": "LiRA offline, model",
    "update_membership_loss": "loss, update",
    "update_membership_lira": "LiRA, update",
    "update_membership_lira_offline": "LiRA offline, update",
}


def membership_picture(found: MembershipFound) -> Figure:
    """The curve of each attack, both axes logarithmic, and the AUC of each client against its divergence."""
    figure, panels = blank(9.5, 4.0, columns=2, margins=Margins(between=0.75))
    _curves(panels[0, 0], found)
    _clients(panels[0, 1], found)
    return figure


def _curves(panel: Axes, found: MembershipFound) -> None:
    ends = (_LEAST_RATE, 1.0)
    panel.plot(ends, ends, color=GREY, lw=0.8, ls=(0, (4, 2)))
    for at, (name, curve) in enumerate(found.curves.items()):
        label = f"{_LABELS[name]}: AUC {curve.auc:.3f}"
        panel.plot(
            np.maximum(curve.false_positives, _LEAST_RATE),
            np.maximum(curve.true_positives, _LEAST_RATE),
            color=OKABE_ITO[at % len(OKABE_ITO)],
            lw=1.4,
            ls="-" if name.startswith("membership") else (0, (5, 1.5)),
            label=label,
        )
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_xlabel("held-out examples taken for members (false positives)")
    panel.set_ylabel("members found (true positives)")
    panel.legend(fontsize=7, loc="lower right", frameon=False)


def _clients(panel: Axes, found: MembershipFound) -> None:
    """By the attack with the largest AUC of all examples."""
    strongest = max(found.curves, key=lambda name: found.curves[name].auc)
    values = _numbers(found.clients[f"{strongest}_auc"])
    places = _numbers(found.clients["label_divergence_bits"])
    by_size = not np.isfinite(places).any()
    places = np.array(found.clients["training_examples"], np.float64) if by_size else places
    panel.axhline(0.5, color=GREY, lw=0.8, ls=(0, (4, 2)))
    panel.scatter(places, values, s=22, c=OKABE_ITO[0], alpha=0.75, lw=0)
    panel.set_xlabel(
        "training examples" if by_size else "divergence of the client's labels from the pool, bits"
    )
    panel.set_ylabel(f"AUC among the client's examples ({_LABELS[strongest]})")


def inversion_picture(found: InversionFound) -> Figure:
    """Images, and below each what was drawn again from an update, as it is read and as it is released."""
    rows = [row for drawn in found.drawn for row in _rows(drawn)]
    columns = min(_MOST_IMAGES, max(len(images) for _, images, _ in rows))
    margins = Margins(left=2.1, right=0.1, bottom=0.1, top=0.2, between=0.08)
    size = (margins.left + margins.right + _INCHES * columns, 0.3 + (_INCHES + 0.2) * len(rows))
    figure, panels = blank(*size, rows=len(rows), columns=columns, margins=margins)
    for line, (title, images, notes) in zip(panels, rows, strict=True):
        for at, panel in enumerate(line):
            panel.set_xticks([])
            panel.set_yticks([])
            panel.grid(visible=False)
            for spine in panel.spines.values():
                spine.set_visible(False)
            if at < len(images):
                _show(panel, images[at], found.low, found.high)
                panel.set_title(notes[at] if notes else "", fontsize=7, pad=2)
        line[0].set_ylabel(plain(title), rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _rows(drawn: Drawn) -> list[tuple[str, np.ndarray, list[str]]]:
    """(title, images, a note on each) of every row of one reading."""
    notes = [f"{value:.1f} dB" for value in drawn.psnr]
    exact = [] if drawn.exact is None else [(f"in closed form, {drawn.title}", drawn.exact, list[str]())]
    return [
        ("original", drawn.images, list[str]()),
        (f"by search, {drawn.title}", drawn.found, notes),
        *exact,
    ]


def _show(panel: Axes, image: np.ndarray, low: float, high: float) -> None:
    """An image [channels, height, width]: in colour where it has three channels, else the first in grey."""
    scaled = (np.clip(image, low, high) - low) / ((high - low) or 1.0)
    if len(scaled) == 3:
        panel.imshow(scaled.transpose(1, 2, 0), interpolation="nearest")
    else:
        panel.imshow(scaled[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)
