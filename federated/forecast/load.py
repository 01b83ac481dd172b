"""The cost of other programs to the probes of a forecast, and whether the machine has the memory for a study."""

from __future__ import annotations

from collections.abc import Sequence

from federated.forecast.overheads import CERTAINLY
from federated.machine.memory import machine_mb
from federated.machine.queueing import NOTHING, Taken

_FEWEST_SECONDS = 0.5


def slowdown_of(probes: Sequence[Taken]) -> float:
    """How many times as long as alone the rounds of the probes took; 1 where they are too short to tell."""
    seconds, alone = (sum(each[at] for each in probes or [NOTHING]) for at in (0, 1))
    return max(seconds / alone, 1.0) if seconds >= _FEWEST_SECONDS else 1.0


def of_load(slowdown: float) -> list[str]:
    """The warning of a busy machine; none where it is hardly noticed."""
    if slowdown < CERTAINLY:
        return []
    return [
        f"time: other programs have the cores, and the probe took {slowdown:.1f} times as long as it would alone; the "
        "forecast is for cores of its own, the upper end of its range for as busy a machine as now"
    ]


def of_memory(memory: float, workers: int) -> list[str]:
    """The warning that so many processes of this memory, in MB, do not fit; none where they do."""
    needed, there = memory * workers, machine_mb()
    if needed <= there:
        return []
    return [
        f"memory: about {needed:,.0f} MB with --workers {workers}, this machine has {there:,.0f}; fewer workers or a "
        "smaller engine.memory_mb need less"
    ]
