"""The sections of a report's page, in their order.

To add one: a file here with a function `(report, drawings) -> content of the template, or None`, a template of the same
name beside it, and a line in `SECTIONS`. A section that is one figure is `picture(title)`, with a line in
`federated/report/figures/arms/figures.py`. All text in templates is escaped.
"""

from federated.report.figures.arms.charts import BY_EPSILON
from federated.report.page.sections.arms_alone import arms_alone
from federated.report.page.sections.costs import bill, forecast_and_fact, target
from federated.report.page.sections.data import data
from federated.report.page.sections.details import (
    all_metrics,
    environment,
    every_run,
    shared_settings,
    study_file,
)
from federated.report.page.sections.epsilons import epsilons
from federated.report.page.sections.failed import bands, failed, running
from federated.report.page.sections.leakage import leakage
from federated.report.page.sections.partitions import partitions
from federated.report.page.sections.questions import questions
from federated.report.page.sections.ranking import critical_differences, ranking, tuning
from federated.report.page.sections.section import Drawings, Pictures, Section, picture
from federated.report.page.sections.sites import clusters, joining, left_out_sites, sites

__all__ = ["DETAILS", "SECTIONS", "Drawings", "Pictures", "Section"]

SECTIONS = (
    Section("Expected figures", "table.html", bands),
    Section("Both questions", "table.html", questions),
    Section("Failed runs", "failed.html", failed),
    Section("Unfinished runs", "running.html", running),
    Section("Ranking", "ranking.html", ranking),
    Section("Critical differences", "critical_differences.html", critical_differences),
    Section("Join or not", "joining.html", joining),
    Section("Before and after tuning", "tuning.html", tuning),
    picture("Best so far by trial"),
    Section("Sites", "table.html", sites),
    Section("Clusters of clients", "table.html", clusters),
    Section("Sites that never trained", "table.html", left_out_sites),
    picture("Difference from the baseline"),
    picture("Learning curves", charts=["by-round", "by-uplink", "by-seconds"]),
    picture("Score against bytes", charts=["front"]),
    picture("Score against cost", charts=["by-cost"]),
    picture(
        "Score against epsilon",
        "Guarantees of different units, such as examples and clients, are not compared: each has its own chart.",
        charts=BY_EPSILON,
    ),
    picture("Response to heterogeneity"),
    picture("Generalisation gaps"),
    Section("Privacy, promised and measured", "epsilons.html", epsilons),
    Section("Leakage", "leakage.html", leakage),
    picture("Every run"),
    Section("Bill", "bill.html", bill),
    Section("Cost to reach a target", "table.html", target),
    picture("Bytes and time"),
    picture("Rate and distortion"),
    Section("Data", "data.html", data),
    Section("Partitions", "partitions.html", partitions),
    Section("Forecast and actual cost", "forecast_and_fact.html", forecast_and_fact),
)
"""Answers first, then how they came about."""

DETAILS = (
    Section("Run one arm again", "pairs.html", arms_alone),
    Section("Study file", "text.html", study_file),
    Section("All metrics", "table.html", all_metrics),
    Section("Runs", "table.html", every_run),
    Section("Settings of all runs", "pairs.html", shared_settings),
    Section("Environment", "pairs.html", environment),
)
"""Folded away at the end, below the command that runs the study again."""
