"""The memory that a study needs, and the memory of the machine. 1 MB is 10^6 bytes, as everywhere."""

from __future__ import annotations

import os
import resource
import sys

_MB = 1e6
_LIBRARIES_MB = {"mlflow": 150.0, "prefect": 60.0}
"""What a process takes up when it loads a library that every run needs, measured on Linux."""


def peak_mb(children: bool = False) -> float:
    """The most that this process, or the largest of its children that have ended, ever held in memory."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / _MB


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
