"""Pictures of partitions, fetched from the runs that logged them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from federated.report import RunResult
from federated.report.findings.results import candidates
from tasks.tracking.reading.artifacts import bytes_of

_PICTURE = "partition.png"
_MOST = 6


class PartitionPictures(NamedTuple):
    """shown: what a picture shows -> PNG. note: what of the partitions is not shown and where it is; empty: nothing."""

    shown: dict[str, bytes]
    note: str = ""


def partition_pictures(results: Sequence[RunResult]) -> PartitionPictures:
    """A picture of each distinct partition of the first seed, of six at most, and how many were left out."""
    first = min((run.seed for run in results), default=0)
    holders: dict[str, list[RunResult]] = {}
    for run in results:
        if run.seed == first and run.partition:
            holders.setdefault(run.partition, []).append(run)
    pictures: dict[str, bytes] = {}
    without = []
    for runs in holders.values():
        png = _picture(runs) if len(pictures) < _MOST else None
        if png is None:
            without.append(runs)
        else:
            pictures[_title(runs)] = png
    return PartitionPictures(pictures, _left_out(without, len(holders), first))


def _left_out(holders: Sequence[Sequence[RunResult]], among: int, seed: int) -> str:
    """The number of partitions without a picture here, their arms, and how to see them."""
    if not holders:
        return ""
    arms = "; ".join((candidates(runs) or runs)[0].arm for runs in holders[:_MOST])
    more = f"; and {len(holders) - _MOST} more" if len(holders) > _MOST else ""
    return (
        f"{len(holders)} of {among} partitions of seed {seed} have no picture here: {arms}{more}. Each run that "
        f"began to train has its own in MLflow, {_PICTURE} under Artifacts; `preview STUDY.yaml` draws them all."
    )


def _picture(runs: Sequence[RunResult]) -> bytes | None:
    """The picture of the first of these runs that has one: a run that failed early has none."""
    found = (bytes_of(run.run_id, _PICTURE) for run in runs)
    return next((png for png in found if png is not None), None)


def _title(runs: Sequence[RunResult]) -> str:
    """The first arm and how many more hold the same; anchors are no arms, and seldom alone."""
    runs = candidates(runs) or runs
    others = len(runs) - 1
    more = f" and {others} more arm{'' if others == 1 else 's'}" if others else ""
    return f"{runs[0].arm}{more}, seed {runs[0].seed}"
