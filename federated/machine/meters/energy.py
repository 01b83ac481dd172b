"""The energy that the machine's processors and memory have taken, where the machine counts it.

Linux shows the counters of RAPL (Intel and AMD processors) as files; mostly only root may read them. They count all
that runs on the machine, and begin again at zero when they are full.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

_ZONES = Path("/sys/class/powercap")
_COUNTED = ("package", "dram")
"""The names of zones that do not hold each other: packages, and memory, which is within none of them."""
_JOULES = 1e-6


class Energy:
    """The counters of a machine as they stand now."""

    def __init__(self, zones: Path = _ZONES) -> None:
        self._zones = zones
        self._counts = {zone: _number(zone / "energy_uj") for zone in _counters(zones)}

    @property
    def known(self) -> bool:
        """Whether the machine has any that this process may read."""
        return bool(self._counts)

    def joules(self) -> float | None:
        """Joules that the machine has taken since then; None where it does not say."""
        now = Energy(self._zones)._counts
        if not now or now.keys() != self._counts.keys():
            return None
        return _JOULES * sum(_apart(self._counts, now, zone) for zone in now)


def _apart(before: Mapping[Path, int], now: Mapping[Path, int], zone: Path) -> int:
    """What a counter has counted, which may have been full once."""
    moved = now[zone] - before[zone]
    return moved if moved >= 0 else moved + _number(zone / "max_energy_range_uj")


@cache
def _counters(zones: Path) -> tuple[Path, ...]:
    """The zones to add up whose counters this process may read."""
    found = []
    for zone in sorted(zones.glob("*-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            if name.startswith(_COUNTED):
                _number(zone / "energy_uj")
                found.append(zone)
        except (OSError, ValueError):  # not for this process to read: then it is as if it were not there
            return ()
    return tuple(found)


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))
