"""The peak memory of a process and its children, counting what they share once."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COHORTS = (250, 500, 1000, 2000, 4000)
_INTERVAL = 0.02


@dataclass(frozen=True)
class Growth:
    """Rounds with `cohort` clients each: seconds a round, and the peak of memory in MB from start to end.

    peak_rss_mb: of the main process. peak_mb: of all processes, what they share counted once (PSS); zero where
    the system does not tell.
    """

    cohort: int
    seconds: float
    peak_rss_mb: float
    peak_mb: float


def growth(folder: Path, rounds: int, cohorts: Sequence[int] = COHORTS) -> list[dict[str, Any]]:
    """W4 with ever more clients a round, each in a fresh process."""
    return [asdict(_in_fresh_process(folder, rounds, cohort)) for cohort in cohorts]


def _in_fresh_process(folder: Path, rounds: int, cohort: int) -> Growth:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, folder, rounds, cohort))
    process.start()
    theirs.close()
    assert process.pid is not None
    stop, peaks = threading.Event(), [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, stop, peaks))
    watcher.start()
    try:
        seconds, peak_rss = ours.recv()
    finally:
        stop.set()
        watcher.join()
        process.join()
    return Growth(cohort, seconds, peak_rss, max(peaks))


def _measure(answer: Connection, folder: Path, rounds: int, cohort: int) -> None:
    """In the fresh process: data, federation and rounds; nothing else."""
    from benchmarks.ours import train
    from benchmarks.statistics import Timing
    from benchmarks.workloads import WORKLOADS
    from federated.run.setup import prepare

    setup = prepare(WORKLOADS["W4"].config(folder, rounds, cohort={"size": cohort}))
    _, seconds = train(setup)
    answer.send((Timing(seconds, accuracy=0.0).seconds, peak_rss_mb()))


def peak_rss_mb() -> float:
    """The most memory this process ever held; zero where the system does not tell.

    Not getrusage: its maximum outlives the start of a new program, so that a child begins with its parent's.
    """
    return _figure_mb(Path("/proc/self/status"), "VmHWM:")


def rss_mb() -> float:
    """The memory that this process holds now; zero where the system does not tell."""
    return _figure_mb(Path("/proc/self/status"), "VmRSS:")


def _watch(pid: int, stop: threading.Event, peaks: list[float]) -> None:
    while not stop.is_set():
        peaks.append(sum(_figure_mb(Path(f"/proc/{one}/smaps_rollup"), "Pss:") for one in family(pid)))
        time.sleep(_INTERVAL)


def family(pid: int) -> list[int]:
    """The process and all below it; the process alone where the system does not tell."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in _read(task).split()]
    return found


def _figure_mb(file: Path, name: str) -> float:
    """A figure in kB that a file of the system gives by name; zero where it does not."""
    for line in _read(file).splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def _read(path: Path) -> str:
    """The text of a file that may be gone, as those of a process are once it has ended."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
