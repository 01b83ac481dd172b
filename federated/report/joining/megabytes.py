"""The megabytes that a run sent, up and down, and each of its sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from federated.report.findings.results import BYTES_PER_MB, DOWNLINK, UPLINK, RunResult
from federated.report.questions.sites import client_rows


def megabytes_of_run(run: RunResult) -> float:
    """All that was sent, up and down."""
    return ((run.final(UPLINK) or 0.0) + (run.final(DOWNLINK) or 0.0)) / BYTES_PER_MB


def megabytes_of_sites(runs: Sequence[RunResult]) -> dict[str, float]:
    """What each site of an arm sent and received, the mean over the seeds in which it trains.

    As counted at the site; of a run without that table an equal share of what all sent.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        for site, megabytes in _of_run(run):
            found.setdefault(site, []).append(megabytes)
    return {site: float(np.mean(each)) for site, each in found.items()}


def _of_run(run: RunResult) -> Iterator[tuple[str, float]]:
    if not run.finished or not run.clients:
        return
    sites = [str(row["client"]) for row in client_rows(run) if row["takes_part"] and row["training_examples"]]
    counted = _counted(run)
    for site in sites:
        yield site, counted.get(site, megabytes_of_run(run) / len(sites))


def _counted(run: RunResult) -> Mapping[str, float]:
    columns = run.by_client
    if not columns:
        return {}
    sent = zip(columns["client"], columns["uplink_bytes"], columns["downlink_bytes"], strict=True)
    return {str(site): (up + down) / BYTES_PER_MB for site, up, down in sent}
