"""Meters of wall time, processor time and energy that a stretch of work takes."""

from federated.machine.meters.energy import Energy
from federated.machine.meters.meter import Meter, Used

__all__ = ["Energy", "Meter", "Used"]
