"""The sections with the tables of sites, by name, and of clusters of clients."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings, first_of
from federated.report.questions.clusters import clusters_text
from federated.report.questions.sites_tables import sites_text


def sites(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row a site, where the clients are those of the data and keep examples of their own."""
    table = sites_text(report.results)
    return None if table is None else {"table": first_of(table, "sites")}


def clusters(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """A row for each arm with several models and each true group."""
    table = clusters_text(report.results)
    return None if table is None else {"table": first_of(table, "rows")}
