"""A meter of what this thread's work takes: wall time, processor time and, where the machine counts it, energy."""

from __future__ import annotations

from typing import NamedTuple

from federated.machine.cores import runs_at_a_time
from federated.machine.meters.energy import Energy
from federated.machine.meters.one_meter import OneMeter
from federated.machine.queueing import own_processor_seconds, own_seconds, waited


class Used(NamedTuple):
    """seconds: of wall time. processor_seconds: of all cores together. joules: None where the machine does not say, or
    other runs share it, also those of another study."""

    seconds: float
    processor_seconds: float
    joules: float | None = None


class Meter:
    """Runs from when it is made. Its times are without those in which this thread waited for other runs.

    Processor time is that of the whole process, without what works beside, such as tracking. The clocks of threads are
    read one after the other, so that it could come out below zero where next to nothing was done; it is zero then.
    """

    def __init__(self) -> None:
        energy = Energy() if runs_at_a_time() == 1 else None
        self._energy = energy if energy is not None and energy.known else None
        self._claim = None if self._energy is None else OneMeter()
        self._waited = waited()
        self._processor, self._started = own_processor_seconds(), own_seconds()

    def used(self) -> Used:
        """What has been used until now."""
        seconds, processor = (
            own_seconds() - self._started,
            max(own_processor_seconds() - self._processor, 0.0),
        )
        joules = None if self._energy is None else self._energy.joules()
        alone = self._claim is not None and self._claim.was_alone() and waited() == self._waited
        return Used(seconds, processor, joules if alone else None)
