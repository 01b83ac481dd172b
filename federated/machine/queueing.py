"""Wall and processor time, and what of it was spent in the queue for a core, or on other runs and work beside."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

_THREADS = Path("/proc/self/task")
_NANO = 1e-9
_WORKS = 0.1
"""The share of the time that a thread must have run to be one whose delay the caller waits for."""
_LEAST_ALONE = 0.02
_OF_THREAD = 6
"""In the number of a clock of Linux: of one thread, in the scheduler's nanoseconds."""


class Thread(NamedTuple):
    """Seconds that a thread of this process has run, and that it was ready to run and had no core."""

    ran: float
    queued: float


class Taken(NamedTuple):
    """seconds: of wall time. alone: what they would have been without the queue for a core. processor: of all cores of
    this process together."""

    seconds: float
    alone: float
    processor: float = 0.0


NOTHING = Taken(0.0, 0.0)


class Stopwatch:
    """Runs from when it is made. Where the system does not tell of queues (Linux does), there are none."""

    def __init__(self) -> None:
        self._before = threads()
        self._started, self._processor = time.perf_counter(), processor_seconds()

    def taken(self) -> Taken:
        """The time until now."""
        seconds, processor = time.perf_counter() - self._started, processor_seconds() - self._processor
        queued = delay(self._before, threads(), threading.get_native_id(), seconds)
        return Taken(seconds, max(seconds - queued, _LEAST_ALONE * seconds), processor)


def threads() -> dict[int, Thread]:
    """Every thread of this process by its number; {} where the system does not tell."""
    found = dict[int, Thread]()
    try:
        for folder in _THREADS.iterdir():
            try:
                ran, queued, _ = (folder / "schedstat").read_text(encoding="ascii").split()
            except OSError:  # it has ended meanwhile
                continue
            found[int(folder.name)] = Thread(int(ran) * _NANO, int(queued) * _NANO)
    except (OSError, ValueError):
        return {}
    return found


def delay(before: dict[int, Thread], after: dict[int, Thread], caller: int, seconds: float) -> float:
    """Seconds that a caller lost to queues: its own, and the longest among the threads that worked beside it.

    A thread that waits for another is in no queue, so a caller's own delay and that of its workers add up.
    """
    own, others = 0.0, [0.0]
    for number, now in after.items():
        then = before.get(number, Thread(0.0, 0.0))
        if number == caller:
            own = now.queued - then.queued
        elif now.ran - then.ran >= _WORKS * seconds:
            others.append(now.queued - then.queued)
    return own + max(others)


_waits = threading.local()


def own_seconds() -> float:
    """Seconds on the clock of `time.perf_counter`, without those that this thread has waited for other runs."""
    return time.perf_counter() - waited().seconds


def own_processor_seconds() -> float:
    """Seconds of all cores on the clock of `processor_seconds`, without those of other runs."""
    return processor_seconds() - waited().processor_seconds


def processor_seconds() -> float:
    """Seconds of all cores on the clock of `time.process_time`, without those of work beside, also as it goes on."""
    global _ended_beside
    with _one_beside:
        working = sum(_thread_seconds(thread) - started for thread, started in _beside.items())
        for number, before in _beside_for_good.items():
            _beside_for_good[number] = _seconds_of_thread(number, before)
        _ended_beside += _beside_for_good.pop(threading.get_native_id(), 0.0)  # this one works for a run now
        return time.process_time() - _ended_beside - working - sum(_beside_for_good.values())


_ended_beside, _one_beside = 0.0, threading.Lock()
_beside: dict[int, float] = {}
"""The threads that work for no run just now, and the time of each when it began to."""
_beside_for_good: dict[int, float] = {}
"""The number of each thread that never works for a run, and the time that it has worked."""
_for_runs: set[int] = set()
"""The numbers of threads that train for whichever run asks."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_beside.clear)  # where those threads do not live
    os.register_at_fork(after_in_child=_beside_for_good.clear)


@contextmanager
def working_beside() -> Iterator[None]:
    """Within this context, this thread works for no run: its processor time is off the clock of all."""
    global _ended_beside
    thread, started = threading.get_ident(), time.thread_time()
    with _one_beside:
        _beside[thread] = started
    try:
        yield
    finally:
        with _one_beside:
            _ended_beside += time.thread_time() - _beside.pop(thread)


@cache
def all_others_work_beside() -> None:
    """Take the time of all threads that live by now, but this one, off the clock of runs; once, before the first run.

    They are Prefect's, those that show how a study goes on, and the like.
    """
    numbers = {thread.native_id for thread in threading.enumerate()} - {threading.get_native_id(), *_for_runs}
    with _one_beside:
        _beside_for_good.update({number: 0.0 for number in numbers if number is not None})


def works_for_runs() -> None:
    """This thread trains for whichever run asks, as long as it lives."""
    _for_runs.add(threading.get_native_id())


def _seconds_of_thread(number: int, before: float) -> float:
    """The processor time of a thread of this process; where it has ended, or the system does not tell, `before`."""
    if sys.platform != "linux":
        return before
    try:
        return time.clock_gettime(~number << 3 | _OF_THREAD)
    except OSError:
        return before


def _thread_seconds(thread: int) -> float:
    """The processor time of a thread that works beside; where the system does not tell, that when it began."""
    if not hasattr(
        time, "pthread_getcpuclockid"
    ):  # as on macOS: the work counts as beside only once it has ended
        return _beside[thread]
    return time.clock_gettime(time.pthread_getcpuclockid(thread))


class Waited(NamedTuple):
    """What has passed while this thread waited for other runs: wall time, and time on the clock of
    `processor_seconds`."""

    seconds: float = 0.0
    processor_seconds: float = 0.0


def waited() -> Waited:
    """All of it so far."""
    found: Waited = getattr(_waits, "all", Waited())
    return found


def has_waited(seconds: float, processor_seconds: float = 0.0) -> None:
    """Take these seconds, which have passed, off the clocks of this thread; the latter without work beside."""
    before = waited()
    _waits.all = Waited(before.seconds + seconds, before.processor_seconds + processor_seconds)
