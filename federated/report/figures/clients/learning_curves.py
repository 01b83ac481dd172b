"""The learning curves of one run, over its rounds and over the bytes sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from federated.metrics.names import metric_label
from federated.report.figures.style import Margins, blank, finite, label_pair, label_rounds, plain, say
from federated.report.findings.results import TRAINING_LOSS, UPLINK, RunResult
from federated.report.findings.strokes import GREY, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_DOTS = 25
_LONGEST_TITLE = 240
_LOG_FROM = 30.0
"""Ratio of the largest to the smallest training loss from which its axis is logarithmic."""


def learning_curves(result: RunResult) -> Figure:
    """The main metric against rounds and against uplink bytes; the training loss in a third panel.

    The same measure on the other held-out sets, where there are any, is drawn thinner.
    """
    figure, panels = blank(10.5, 3.2, columns=3, margins=Margins(top=0.35, between=0.65))
    by_round, by_uplink, loss = panels[0]
    metrics = [result.main_metric, *_same_measure(result)]
    for colour, metric in zip(OKABE_ITO, metrics, strict=False):
        rounds, values = result.curve(metric)
        look = {"color": colour, "lw": 1.8 if metric == result.main_metric else 1.0, **_dots(rounds)}
        by_round.plot(rounds, finite(values), label=metric_label(metric), **look)
        by_uplink.plot(result.megabytes(UPLINK, rounds), finite(values), **look)
    if len(metrics) > 1:
        by_round.legend(frameon=False, fontsize=8)
    for panel in () if result.history else panels[0]:
        say(panel, "no round was logged")
    label_pair(by_round, by_uplink, result.main_metric)
    _draw_loss(loss, result)
    end = " · FAILED" if result.failed else ""  # at the end of a run MLflow still has it as running
    title = plain(f"{result.arm} · seed {result.seed}{end}", _LONGEST_TITLE)
    figure.suptitle(title, fontsize=9, x=0.01, y=0.985, ha="left", wrap=True)
    return figure


def _same_measure(result: RunResult) -> list[str]:
    """The names of the main metric's measure on the other held-out sets."""
    family, _, name = result.main_metric.rpartition("/")
    ending = name.partition("_")[2]
    return [
        other
        for other in result.metric_names
        if other != result.main_metric
        and other.startswith(f"{family}/")
        and other.partition("_")[2] == ending
    ]


def _draw_loss(panel: Axes, result: RunResult) -> None:
    rounds, values = result.curve(TRAINING_LOSS)
    panel.plot(rounds, finite(values), color=GREY, lw=1.4, **_dots(rounds))
    if len(values) and values.min() > 0 and values.max() / values.min() > _LOG_FROM:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
    label_rounds(panel, metric_label(TRAINING_LOSS))


def _dots(rounds: np.ndarray) -> dict[str, Any]:
    """Few points are marked, so that it shows where the model was evaluated."""
    return {"marker": "o", "ms": 3} if len(rounds) <= _MOST_DOTS else {}
