"""The sections with the tables of sites, by name or left out in turn, and of clusters of clients."""

from __future__ import annotations

from typing import Any

from federated.report.figures.arms.figures import JOINING
from federated.report.findings.findings import Report
from federated.report.joining.in_words import joining_sentences, joining_table, leaving_table
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.clusters import clusters_text
from federated.report.questions.sites_tables import sites_text
from federated.report.text.left_out import left_out_table


def sites(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a site, where the clients are those of the data and keep examples of their own."""
    table = sites_text(report.results)
    return None if table is None else {"table": first_of(table, "sites")}


def joining(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a site with its verdict, then a row for each site or group that withdraws."""
    if not report.joining:
        return None
    return {
        "sites": first_of(joining_table(report.joining), "sites"),
        "sentences": joining_sentences(report.joining),
        "left": first_of(leaving_table(report.joining), "rows"),
        "picture": JOINING if JOINING in drawings.pictures else "",
    }


def left_out_sites(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a site; None where no arm leaves sites out in turn."""
    return {"table": first_of(left_out_table(report.left_out), "sites")} if report.left_out else None


def clusters(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row for each arm with several models and each true group."""
    table = clusters_text(report.results)
    return None if table is None else {"table": first_of(table, "rows")}
