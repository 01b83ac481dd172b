"""The table of clusters: the clients of each true group in each cluster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.report.findings.results import RunResult, arms_of
from federated.report.text.numbers_as_text import NOTHING, number
from federated.report.text.table import Table

AGREEMENT = "train/cluster_agreement"
_MOST_CLUSTERS = 12
"""Columns; of more clusters the last column has the rest."""


def clusters_text(results: Sequence[RunResult]) -> Table | None:
    """A row for each arm whose server has several models and each true group; None where there is no such arm."""
    shown = [run for arm in arms_of(results) if (run := _first(results, arm)) is not None]
    if not shown:
        return None
    clusters = max(max(_clusters(run), default=0) for run in shown) + 1
    columns = min(clusters, _MOST_CLUSTERS)
    names = [f"cluster {at}" for at in range(columns)]
    if clusters > columns:
        names[-1] = f"clusters {columns - 1} to {clusters - 1}"
    rows = [row for run in shown for row in _rows(run, columns, _agreement(results, run.arm))]
    seed = ", ".join(dict.fromkeys(str(run.seed) for run in shown))
    return Table(["arm", "true group", "clients", *names, "agreement"], rows, _note(seed))


def _first(results: Sequence[RunResult], arm: str) -> RunResult | None:
    """The finished run of the arm's first seed that has clusters."""
    runs = [run for run in results if run.arm == arm and run.finished and "cluster" in run.clients]
    return min(runs, key=lambda run: run.seed, default=None)


def _clusters(run: RunResult) -> list[int]:
    return [int(cluster) for cluster in run.clients["cluster"] if cluster is not None]


def _rows(run: RunResult, columns: int, agreement: str) -> list[list[str]]:
    """Of one run: clients that train, by true group and cluster."""
    groups = run.clients.get("group", [None] * len(run.clients["cluster"]))
    pairs = [
        (group, int(cluster))
        for group, cluster in zip(groups, run.clients["cluster"], strict=True)
        if cluster is not None
    ]
    rows: list[list[str]] = []
    for group in sorted({group for group, _ in pairs}, key=lambda group: -1 if group is None else group):
        mine = np.minimum([cluster for other, cluster in pairs if other == group], columns - 1)
        counts = np.bincount(mine, minlength=columns).tolist()
        label = "not known" if group is None else str(int(group))
        rows.append([run.arm, label, str(len(mine)), *map(str, counts), "" if rows else agreement])
    return rows


def _agreement(results: Sequence[RunResult], arm: str) -> str:
    """The mean adjusted Rand index over the arm's finished seeds."""
    found = [run.final(AGREEMENT) for run in results if run.arm == arm and run.finished]
    known = [value for value in found if value is not None]
    return number(float(np.mean(known)), 2) if known else NOTHING


def _note(seed: str) -> str:
    return (
        f"Clients in each cluster at the end of the run with seed {seed}, by the group in which the partitioner put "
        "them. Agreement is their adjusted Rand index, the mean over seeds: 1 where they are the same, 0 as by "
        "chance. The clusters after each evaluation are in MLflow, in the folder clusters of each run."
    )
