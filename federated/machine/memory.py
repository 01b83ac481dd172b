"""The memory that a study needs, and the memory of the machine. 1 MB is 10^6 bytes, as everywhere."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys

_MB = 1e6
MAPPED: set[int] = set()
"""Numbers (inodes) of mapped files of data that are too large to be counted as memory."""
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ ([0-9]+)")
_LIBRARIES_MB = {"mlflow": 150.0, "prefect": 60.0}
"""What a process takes up when it loads a library that every run needs, measured on Linux."""


def peak_mb(children: bool = False) -> float:
    """The most that this process, or the largest of its children that have ended, ever held in memory.

    Of this process without the files in `MAPPED`, which the system drops from memory when it needs room.
    """
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(who).ru_maxrss * unit / _MB
    return peak if children or not MAPPED else max(peak - _mapped_mb(), 0.0)


def _mapped_mb() -> float:
    """How much of the files in `MAPPED` this process has in memory now; 0 where the system does not tell."""
    kilobytes, counts = 0, False
    try:
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as file:
            for line in file:
                if found := _MAPPING.match(line):
                    counts = int(found[1]) in MAPPED
                elif counts and line.startswith("Rss:"):
                    kilobytes += int(line.split()[1])
    except OSError:
        return 0.0
    return kilobytes * 1024 / _MB


def not_loaded_mb() -> float:
    """The additional memory of libraries that every run needs and that are not loaded yet."""
    return sum(size for name, size in _LIBRARIES_MB.items() if name not in sys.modules)


def machine_mb() -> float:
    """The memory of the machine, or of its control group where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _MB
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(machine, int(file.read()) / _MB)
    except (OSError, ValueError):
        return machine


def give_back() -> None:
    """Return what was freed to the system, where the C library can: glibc keeps it, in pieces that do not fit again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
