"""The tables of a report as columns of numbers, by the file names that they have in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federated.report.bill import bill_numbers, site_bills, sites_bill_numbers
from federated.report.expected.figures import bands_numbers
from federated.report.findings.arms import table
from federated.report.findings.findings import Report
from federated.report.findings.paired_table import paired_table
from federated.report.joining.numbers import joining_numbers, leaving_numbers
from federated.report.questions.sites_tables import sites_numbers
from federated.report.questions.tables import questions_numbers


def tables_of(report: Report) -> dict[str, Mapping[str, Sequence[Any]]]:
    """Every table that the report has; {} for one that it lacks."""
    return {
        "comparison.json": table(report.arms),
        "to_target.json": report.costs.numbers,
        "paired.json": paired_table(report.pairs, robust=report.robust) if report.pairs else {},
        "questions.json": questions_numbers(report.answers),
        "bands.json": bands_numbers(report.figures),
        "sites.json": sites_numbers(report.results),
        "bill.json": bill_numbers([*report.bills, *report.tuning_bills]),
        "bill_sites.json": sites_bill_numbers(site_bills(report.results, report.prices)),
        "joining.json": joining_numbers(report.joining),
        "leaving.json": leaving_numbers(report.joining),
    }
