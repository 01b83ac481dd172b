"""The history of a run in MLflow, written by a thread during the run and complete at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from federated.config.run import RunConfig
from federated.machine.queueing import working_beside
from federated.networks import SECONDS_TOTAL, timed
from federated.run.history import Entry
from tasks.tracking.delivery.metrics import Measured
from tasks.tracking.delivery.sending import now, send, send_held
from tasks.tracking.server.limits import key_of
from tasks.tracking.server.store import is_server

_SECONDS_BETWEEN_WRITES = 1.0
_MOST_SECONDS_BETWEEN_WRITES = 10.0
_GROWTH = 2.0
"""To a server, which takes a request for each write, a run writes ever less often."""


def log_history(run_id: str, history: Sequence[Entry], times: Sequence[int] | None = None) -> None:
    """Metrics with the round as their step; times: of each entry, in ms since 1970, now unless given."""
    times = [now()] * len(history) if times is None else times
    entries = zip(history, times, strict=True)
    rows = [
        Measured(key_of(name), float(value), at, step)
        for (step, metrics), at in entries
        for name, value in metrics.items()
    ]
    send("metrics", run_id, rows=rows)


class HistoryWriter:
    """Keeps MLflow up to date with a history that grows: at once, or for short rounds once a second; a server
    after 1 s, 2 s, 4 s and so on, up to every ten seconds.

    One thread writes, one write at a time, in the history's order. What a write raises is raised at the next call or in
    `close`, which writes what is missing all the same. An entry keeps the time of its first call, by which
    MLflow recognises one that it has already.

    Simulated time is added here and is not in the history itself: a checkpoint serves a run on any network.
    """

    def __init__(self, run_id: str, config: RunConfig) -> None:
        self._run_id = run_id
        self._network = None if config.network is None else config.network.build()
        self._seed = config.seed
        self._elapsed = 0.0
        self._history: Sequence[Entry] = ()
        self._times: list[int] = []
        self._written = 0
        self._thread = ThreadPoolExecutor(1, "mlflow")
        self._writing: Future[None] | None = None
        self._due = time.monotonic()
        self._pause = _SECONDS_BETWEEN_WRITES

    def __call__(self, history: Sequence[Entry]) -> None:
        """Set the current history. Re-raises the error of an earlier write."""
        self._history = history
        self._times += [now()] * (len(history) - len(self._times))
        if self._writing is not None and self._writing.done():
            self._wait()
        if self._writing is None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._pause
            if is_server():
                self._pause = min(self._pause * _GROWTH, _MOST_SECONDS_BETWEEN_WRITES)
            self._writing = self._thread.submit(self._write_now, history)

    def close(self) -> None:
        """Write all pending entries to MLflow. Re-raises the error of a failed write."""
        with self._thread:
            try:
                self._wait()
            finally:
                self._write(self._history)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write_now(self, history: Sequence[Entry]) -> None:
        self._write(history)
        send_held(self._run_id)

    def _write(self, history: Sequence[Entry]) -> None:
        """Write the pending entries. Changes nothing on failure."""
        with working_beside():
            fresh, elapsed = self._on_the_clock(history[self._written :])
            log_history(self._run_id, fresh, self._times[self._written : len(history)])
        self._written, self._elapsed = len(history), elapsed

    def _on_the_clock(self, fresh: Sequence[Entry]) -> tuple[Sequence[Entry], float]:
        """(the entries with simulated time, the simulated time after them)."""
        if self._network is None:
            return fresh, self._elapsed
        clocked = timed(fresh, self._network, self._seed, self._elapsed)
        return clocked, max([self._elapsed, *(metrics.get(SECONDS_TOTAL, 0.0) for _, metrics in clocked)])


@contextmanager
def recording(run_id: str, config: RunConfig) -> Iterator[HistoryWriter]:
    """A record that is complete at the end, also when the run fails."""
    record = HistoryWriter(run_id, config)
    try:
        yield record
    finally:
        record.close()
