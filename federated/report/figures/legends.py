"""Groups of arms drawn side by side where one panel cannot hold them all, and their legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from federated.report.figures.style import plain
from federated.report.findings.results import RunResult, arms_of
from federated.report.findings.strokes import GREY, PLAIN, Stroke, crossed_axes, is_of_bytes, joined, two_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_MOST_FACETS = 4
_INCHES_A_LETTER = 0.07
_INCHES_A_HANDLE = 0.8


class Facet(NamedTuple):
    """Runs of one panel. title: what their arms share; labels: arm -> the rest of its name."""

    title: str
    runs: list[RunResult]
    labels: dict[str, str]


def facets(results: Sequence[RunResult]) -> list[Facet]:
    """A facet for each main metric, and within it, where arms are of two axes, for each value of one of them.

    Axes of what travels (`compression`, `trained`) stay within the panels, as their values are what is compared; of
    three axes or more, the others together make the panels.
    """
    groups = []
    for metric in dict.fromkeys(run.main_metric for run in results):
        groups += _split([run for run in results if run.main_metric == metric])
    return groups


def _split(runs: list[RunResult]) -> list[Facet]:
    whole = [Facet("", runs, {arm: arm for arm in arms_of(runs)})]
    axes = _axes_of(runs)
    if axes is None:
        return whole
    across, inside = axes
    titles = list(dict.fromkeys(joined(run.overrides, across) for run in runs))
    if not 1 < len(titles) <= _MOST_FACETS:
        return whole
    by_title = {title: [run for run in runs if joined(run.overrides, across) == title] for title in titles}
    return [
        Facet(title, own, {run.arm: joined(run.overrides, inside) for run in own})
        for title, own in by_title.items()
    ]


def _axes_of(runs: Sequence[RunResult]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The paths of the axes that make the panels, and of those within them; None: one panel."""
    if axes := two_axes(run.overrides for run in runs):
        first, second = axes
        if is_of_bytes(first) and is_of_bytes(second):
            return None
        return ((second,), (first,)) if is_of_bytes(first) else ((first,), (second,))
    return crossed_axes(run.overrides for run in runs)


def keys(groups: Sequence[Facet], looks: Mapping[str, Stroke]) -> dict[str, Stroke]:
    """The entries of a legend for all facets: the labels, if each always has the same line and marker (grey where its
    arms have different colours in other facets) or always the same colour; otherwise the arms.

    looks: arm -> its stroke in every figure of the report.
    """
    by_label: dict[str, list[Stroke]] = {}
    for group in groups:
        for arm, label in group.labels.items():
            by_label.setdefault(label, []).append(looks[arm])
    lines = {label: line_of(drawn) for label, drawn in by_label.items()}
    named = {label: look for label, look in lines.items() if look is not None}
    if len({(str(look.line), look.marker) for look in named.values()}) == len(by_label):
        return named
    colours = [(label, look.colour) for label, drawn in by_label.items() for look in drawn]
    if len(groups) > 1 and len({colour for _, colour in colours}) == len(set(colours)) == len(by_label):
        return {label: Stroke(colour, *PLAIN) for label, colour in colours}
    return {arm: looks[arm] for group in groups for arm in group.labels}


def line_of(looks: Sequence[Stroke]) -> Stroke | None:
    """The line that stands for several arms: their common one, grey where only colours differ; else None."""
    if len({(str(look.line), look.marker) for look in looks}) > 1:
        return None
    return looks[0] if len({look.colour for look in looks}) == 1 else looks[0]._replace(colour=GREY)


def handles_of(named: Mapping[str, Stroke]) -> dict[str, Line2D]:
    """Artists for a legend that no panel holds."""
    from matplotlib.lines import Line2D

    return {
        name: Line2D([], [], color=look.colour, ls=look.line, marker=look.marker, ms=4, lw=1.3)
        for name, look in named.items()
    }


def legend_below(figure: Figure, handles: dict[str, Any], title: str) -> None:
    """One legend for all panels, in as many columns as the figure is wide enough for."""
    if not handles:
        return
    figure.legend(
        list(handles.values()),
        _shown(handles),
        loc="outside lower left",
        ncols=_columns(list(handles), float(figure.get_size_inches()[0])),
        title=title,
        handlelength=3.5,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
        alignment="left",
    )


def legend_height(labels: Sequence[str], width: float) -> float:
    """Inches that `legend_below` takes in a figure of a width in inches."""
    return 0.18 * math.ceil(len(labels) / _columns(labels, width)) + 0.4


def _shown(labels: Iterable[str]) -> list[str]:
    return [plain(label) for label in labels]


def _columns(labels: Sequence[str], width: float) -> int:
    column = _INCHES_A_LETTER * max(map(len, _shown(labels)), default=1) + _INCHES_A_HANDLE
    return min(max(int(width / column), 1), max(len(labels), 1), 4)
