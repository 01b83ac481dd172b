"""The connections between clients and server, as the simulated clock models them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

_LARGEST, _LARGEST_SPREAD = 1e12, 30.0  # with which a round's seconds are a number


@dataclass(frozen=True)
class Network:
    """A client's connection to the server; 1 Mbit is 10^6 bits.

    uplink_mbps, downlink_mbps: Mbit/s of the median client. latency_ms: one way, half of what a ping shows.
    spread: standard deviation of the natural logarithm of the clients' speeds; 0: all clients alike. compute: seconds
    of local training a client and round; measured: `system/training_seconds` over the clients of the cohort.
    """

    uplink_mbps: float
    downlink_mbps: float
    latency_ms: float = 0.0
    spread: float = 0.0
    compute: float | Literal["measured"] = "measured"

    def __post_init__(self) -> None:
        for name in ("uplink_mbps", "downlink_mbps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number of Mbit/s > 0, got {getattr(self, name)}")
            if getattr(self, name) < 1 / _LARGEST:
                raise ValueError(f"{name} must be at least {1 / _LARGEST:g}, got {getattr(self, name)}")
        for name, unit in (("latency_ms", " of milliseconds"), ("spread", ""), ("compute", " of seconds")):
            value = getattr(self, name)
            if value != "measured" and not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number{unit} >= 0, got {value}")
            if value != "measured":
                _check_size(name, value, _LARGEST_SPREAD if name == "spread" else _LARGEST)


def _check_size(name: str, value: float, most: float) -> None:
    if value > most:
        raise ValueError(f"{name} must be at most {most:g}, got {value}")


def link(
    uplink_mbps: float,
    downlink_mbps: float,
    latency_ms: float = 0.0,
    spread: float = 0.0,
    compute: float | Literal["measured"] = "measured",
) -> Network:
    """A network of your own: rates in Mbit/s, latency one way in ms, spread of speeds, seconds of compute.

    A mapping without a name is this: `network: {uplink_mbps: 1, downlink_mbps: 10}`. For what the numbers mean see
    docs/communication.md.
    """
    return Network(uplink_mbps, downlink_mbps, latency_ms, spread, compute)
