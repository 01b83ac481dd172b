"""The picture of the gain of each site, and of its value to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from federated.metrics.names import range_of
from federated.metrics.ranges import SHARE
from federated.report.figures.style import blank, name_places, plain
from federated.report.findings.strokes import GREY, OKABE_ITO
from federated.report.joining.differences import Difference
from federated.report.joining.found import Joining
from federated.report.questions.amounts import measure_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_ARMS = 4
_LONGEST = 24
_COLOURS = {"better": OKABE_ITO[2], "worse": OKABE_ITO[1]}
_VALUES = (("leaving", "o"), ("Shapley", "D"))


def joining_picture(found: Sequence[Joining]) -> Figure | None:
    """A row of two panels for each of the first arms: the gain of each site, and its value to the others."""
    shown = [each for each in found if each.joined][:_MOST_ARMS]
    if not shown:
        return None
    sites = max(len(each.joined) for each in shown)
    figure, panels = blank(9.5, (0.9 + 0.3 * sites) * len(shown), rows=len(shown), columns=2)
    for row, each in zip(panels, shown, strict=True):
        names = [joined.site for joined in each.joined]
        left = {one.sites[0]: one.others for one in each.left if len(one.sites) == 1}
        shapley = {value.site: value.others for value in each.values}
        _panel(row[0], names, [{joined.site: joined.gain for joined in each.joined}], each.metric)
        _panel(row[1], names, [left, *([shapley] if shapley else [])], each.metric)
        of = f"{plain(each.arm)}: " if len(shown) > 1 else ""
        unit = "points of " if range_of(each.metric) == SHARE else ""
        row[0].set_xlabel(f"{of}gain by joining, {unit}{measure_label(each.metric)}")
        row[1].set_xlabel(f"{of}value to the others, {unit}{measure_label(each.metric)}")
    return figure


def _panel(
    panel: Axes, names: Sequence[str], differences: Sequence[Mapping[str, Difference]], metric: str
) -> None:
    """A mark with its interval for each site, from the top down; coloured where the verdict says better or worse."""
    scale = 100.0 if range_of(metric) == SHARE else 1.0
    panel.axvline(0, color=GREY, lw=0.8)
    for at, name in enumerate(names):
        for which, (of, (_, marker)) in enumerate(zip(differences, _VALUES, strict=False)):
            difference = of.get(name)
            if difference is None or difference.gain is None:
                continue
            place = at + 0.18 * (2 * which - 1) * (len(differences) > 1)
            colour = _COLOURS.get(difference.verdict, GREY)
            if difference.gain_interval is not None:
                panel.plot(
                    [scale * end for end in difference.gain_interval], [place] * 2, color=colour, lw=1.4
                )
            panel.plot(scale * difference.gain, place, marker, color=colour, ms=5)
    name_places(panel.yaxis, range(len(names)), [plain(name, _LONGEST) for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)
