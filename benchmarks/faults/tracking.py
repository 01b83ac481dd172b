"""Faults of MLflow's store, of first use, and of whatever ends a study's process."""

from __future__ import annotations

from benchmarks.faults.fault import Came, Fault, Place


def three_at_once(place: Place) -> Came:
    """The first studies of a home."""
    study = str(place.study(rounds=5))
    started = [place.start("run", study, "--workers", "2") for _ in range(3)]
    if failed := [place.said(process) for process in started if process.wait()]:
        return Came(f"{len(failed)} of 3 failed: {failed[0].strip().splitlines()[-1]}", "a study")
    return Came("all three ran to their ends and wrote their reports", "nothing")


FAULTS = [
    Fault(
        "three first studies at once",
        "three `run --workers 2` of one study on a fresh home, started together",
        three_at_once,
    ),
]
