"""The energy that the machine's processors and memory have taken, where the machine counts it.

Linux shows the counters of RAPL (Intel and AMD processors) as files; mostly only root may read them. They count all
that runs on the machine, and begin again at zero when they are full: those of AMD every 65,532 J, which a busy package
takes in some minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_ZONES = Path("/sys/class/powercap")
_COUNTED = ("package", "dram")
"""The names of zones that do not hold each other: packages, or the dies of one, and memory, which is within none of
them. `psys` holds all of them, `core` and `uncore` are parts of a package, `intel-rapl-mmio` counts it again."""
_JOULES = 1e-6
_MOST_WATTS, _LATE = 1_000.0, 0.1
"""More than any zone takes, and seconds by which a counter may lag behind."""


class Energy:
    """The counters of a machine as they stand now."""

    def __init__(self, zones: Path = _ZONES) -> None:
        self._zones, self._began = zones, time.monotonic()
        self._counts = _counts(zones)

    @property
    def known(self) -> bool:
        """Whether the machine has any that this process may read."""
        return bool(self._counts)

    def joules(self) -> float | None:
        """Joules that the machine has taken since then.

        None where it does not say, or so much time has passed that a counter may have been full twice, or one has moved
        by more than a machine can take, as it does where somebody sets it to zero.
        """
        now, seconds = _counts(self._zones), time.monotonic() - self._began
        if not now or now.keys() != self._counts.keys():
            return None
        taken = [_taken(self._counts[zone], now[zone], _range(zone), seconds) for zone in now]
        known = [each for each in taken if each is not None]
        return sum(known) if len(known) == len(taken) else None


def _taken(before: int, now: int, full: int, seconds: float) -> float | None:
    """Joules between two readings of a counter of this range, which may have been full once; None where unsure."""
    moved = now - before if now >= before else now - before + full
    if seconds > _JOULES * full / _MOST_WATTS or moved * _JOULES > _MOST_WATTS * (seconds + _LATE):
        return None
    return _JOULES * moved


def _counts(zones: Path) -> Mapping[Path, int]:
    """The zones to add up, each with its counter; {} where this process may not read all of them."""
    try:
        return {zone: _number(zone / "energy_uj") for zone in _counted(zones)}
    except (OSError, ValueError):  # a sum without one of them would look like the whole
        return {}


@cache
def _counted(zones: Path) -> tuple[Path, ...]:
    every = sorted(zones.glob("*-rapl:*"))
    return tuple(zone for zone in every if (zone / "name").read_text(encoding="ascii").startswith(_COUNTED))


def _range(zone: Path) -> int:
    try:
        return _number(zone / "max_energy_range_uj")
    except (OSError, ValueError):  # not said: then nothing is sure
        return 0


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
