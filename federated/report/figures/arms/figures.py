"""Every figure of a report by its title; also its file in MLflow, with underscores: `every_run.png`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from federated.report.figures.arms.charts import cost_still, curves_still, epsilon_still, front_still
from federated.report.figures.arms.costs import bytes_and_time, rate_and_distortion
from federated.report.figures.arms.intervals import difference_picture, gap_picture
from federated.report.figures.arms.outcomes import arm_outcomes
from federated.report.figures.arms.response_curve import response_curve
from federated.report.figures.stills import png_of
from federated.report.figures.studies.critical_difference import critical_difference
from federated.report.figures.style import png
from federated.report.figures.vega_spec import Spec
from federated.report.findings.findings import Report
from federated.report.joining.picture import joining_picture
from federated.report.tuning.picture import best_so_far_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JOINING = "Join or not"

FIGURES: dict[str, Callable[[Report], Figure | Spec | None]] = {
    "Difference from the baseline": lambda report: difference_picture(
        report.drawn.results, report.drawn_pairs
    ),
    "Critical differences": lambda report: critical_difference(report.across),
    "Score against bytes": lambda report: front_still(report.drawn),
    "Score against cost": lambda report: cost_still(report.drawn),
    "Score against epsilon": lambda report: epsilon_still(report.drawn),
    "Response to heterogeneity": lambda report: response_curve(report.drawn.results),
    JOINING: lambda report: joining_picture(report.joining),
    "Every run": lambda report: arm_outcomes(report.drawn.results),
    "Best so far by trial": lambda report: (
        None if report.tuned is None else best_so_far_picture(report.tuned.arms, report.looks)
    ),
    "Learning curves": lambda report: curves_still(report.drawn),
    "Generalisation gaps": lambda report: gap_picture(report.drawn.results),
    "Bytes and time": lambda report: bytes_and_time(report.drawn.results),
    "Rate and distortion": lambda report: rate_and_distortion(report.drawn.results),
}
"""Title -> the function that draws it; None where it has nothing to show."""


def drawn(report: Report) -> dict[str, bytes]:
    """Title -> PNG of every figure that has something to show."""
    figures = {title: draw(report) for title, draw in FIGURES.items()}
    return {title: _png(figure) for title, figure in figures.items() if figure is not None}


def _png(figure: Figure | Spec) -> bytes:
    return png_of(figure) if isinstance(figure, dict) else png(figure)


def as_files(pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> PNG."""
    return {f"{title.lower().replace(' ', '_')}.png": picture for title, picture in pictures.items()}
