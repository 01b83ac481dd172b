"""The pictures of who holds what, from the runs that drew them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from federated.report import RunResult
from federated.report.results import candidates
from tasks.tracking.store import connect

_PICTURE = "partition.png"
_MOST = 6


def partition_pictures(results: Sequence[RunResult]) -> dict[str, bytes]:
    """What a picture shows -> PNG, of each distinct partition of the first seed, of six at most."""
    first = min((run.seed for run in results), default=0)
    holders: dict[str, list[RunResult]] = {}
    for run in results:
        if run.seed == first and run.partition:
            holders.setdefault(run.partition, []).append(run)
    pictures = {}
    for runs in list(holders.values())[:_MOST]:
        if (png := _picture(runs)) is not None:
            pictures[_title(runs)] = png
    return pictures


def _picture(runs: Sequence[RunResult]) -> bytes | None:
    """The picture of the first of these runs that has one: a run that failed early has none."""
    client = connect()
    for run in runs:
        if any(file.path == _PICTURE for file in client.list_artifacts(run.run_id)):
            with TemporaryDirectory() as folder:
                return Path(client.download_artifacts(run.run_id, _PICTURE, folder)).read_bytes()
    return None


def _title(runs: Sequence[RunResult]) -> str:
    """The first arm and how many more hold the same; anchors are no arms, and seldom alone."""
    runs = candidates(runs) or runs
    others = len(runs) - 1
    more = f" and {others} more arm{'' if others == 1 else 's'}" if others else ""
    return f"{runs[0].arm}{more}, seed {runs[0].seed}"
