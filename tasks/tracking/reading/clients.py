"""The tables of clients that runs have logged, for the questions that a report answers client by client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from federated.foundation.limits import MOST_RUNS
from federated.report import RunResult
from federated.report.findings.results import has_withdrawn
from federated.report.questions.answers import client_word
from tasks.tracking.reading.artifacts import text_of

CLIENTS_FILE, BILL_FILE, COALITIONS_FILE = "generalisation.json", "bill.json", "coalitions.json"
_MOST_RUNS = 500
"""Finished runs whose tables are read, a few milliseconds each; larger studies are compared by their metrics alone.

Where sites have withdrawn all are read, as the verdicts on sites are of these tables.
"""
_OWN, _COALITIONS = "generalisation/client_", "coalitions."


def with_clients(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs with their tables of clients, where clients kept examples of their own and the runs are few enough."""
    wanted = [run for run in results if run.finished and any(n.startswith(_OWN) for n in run.metric_names)]
    most = MOST_RUNS if any(map(has_withdrawn, results)) else _MOST_RUNS
    if len(wanted) > most:
        return list(results)
    ids = {run.run_id for run in wanted}
    return [
        replace(run, clients=_table(run.run_id, CLIENTS_FILE)) if run.run_id in ids else run
        for run in results
    ]


def with_coalitions(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs with the tables of the coalitions that they trained."""
    return [
        replace(run, coalitions=_table(run.run_id, COALITIONS_FILE))
        if run.finished and any(name.startswith(_COALITIONS) for name in run.parameters)
        else run
        for run in results
    ]


def with_bills(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs with what each of their clients sent and received, where clients are the data's own and runs are few."""
    finished = sum(run.finished for run in results)
    if client_word(results) != "site" or finished > _MOST_RUNS:
        return list(results)
    return [replace(run, by_client=_table(run.run_id, BILL_FILE)) if run.finished else run for run in results]


def _table(run_id: str, file: str) -> dict[str, list[Any]]:
    """Column -> values, of a table as MLflow writes it; {} where the run logged none."""
    text = text_of(run_id, file)
    if text is None:
        return {}
    content = json.loads(text)
    return {name: [row[at] for row in content["data"]] for at, name in enumerate(content["columns"])}
