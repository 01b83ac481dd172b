"""From seconds to what is reported: medians, and ratios of what was measured in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    """One pass of one rival over one workload: the seconds of every round, the first included."""

    round_seconds: Sequence[float]
    accuracy: float

    @property
    def seconds(self) -> float:
        """A round after warm-up: the median of all rounds but the first, which a busy neighbour does not move."""
        return median(self.round_seconds[1:] or self.round_seconds)


@dataclass(frozen=True)
class Result:
    """A rival on a workload. failure: why there are no timings, in which case there are none."""

    workload: str
    rival: str
    timings: Sequence[Timing] = ()
    failure: str = ""
    version: str = ""

    @property
    def seconds(self) -> float:
        """The median over the passes of the seconds a round."""
        return median(timing.seconds for timing in self.timings)

    @property
    def spread(self) -> float:
        """The slowest pass over the quickest: how much the machine disturbed the measurement."""
        seconds = [timing.seconds for timing in self.timings]
        return max(seconds) / min(seconds)

    @property
    def accuracy(self) -> float:
        """After the last round, the median over the passes."""
        return median(timing.accuracy for timing in self.timings)


def ratio(ours: Result, rival: Result) -> float:
    """How many times as long the rival takes: the median of the ratios of passes that were measured in turn."""
    pairs = zip(ours.timings, rival.timings, strict=True)
    return median(theirs.seconds / mine.seconds for mine, theirs in pairs)
