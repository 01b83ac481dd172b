"""Networks with published figures. Each number of a preset can be changed: `4g(uplink_mbps=1)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from federated.networks.network import Network

_OFCOM = """Ofcom, "Measuring mobile broadband performance in the UK", 2 April 2015: tests on smartphones in five
cities in the fourth quarter of 2014, means over four operators. The latency is half of the round trip of {ping} ms."""

_TYPICAL: dict[str, tuple[Network, str]] = {
    "lorawan": (
        Network(5.47e-5, 5.47e-5, latency_ms=500),
        """Sensors on LoRaWAN in Europe: 54.7 bit/s both ways, a second of round trip.

        The 5,470 bit/s of data rate 5 (LoRaWAN Regional Parameters, EU863-870) times the duty cycle of 1 % to which
        ETSI EN 300 220 holds every sender of that band, gateways too (Adelantado et al. 2017, "Understanding the
        Limits of LoRaWAN"). A device listens a second after it has sent. Frames, whose headers weigh as much as
        small payloads, and collisions are not counted.""",
    ),
    "3g": (
        Network(1.6, 5.9, latency_ms=31.75),
        "Phones on 3G: 1.6 Mbit/s up, 5.9 down, 32 ms one way.\n\n" + _OFCOM.format(ping=63.5),
    ),
    "4g": (
        Network(13.6, 14.7, latency_ms=26.55),
        "Phones on 4G: 13.6 Mbit/s up, 14.7 down, 27 ms one way.\n\n" + _OFCOM.format(ping=53.1),
    ),
    "home_broadband": (
        Network(18.4, 69.4, latency_ms=10),
        """Homes on fixed broadband: 18.4 Mbit/s up, 69.4 down, 10 ms one way.

        Medians of Ofcom, "UK Home Broadband Performance", measurement period March 2023. The latency is a round
        figure of ours.""",
    ),
    "data_centre": (
        Network(10_000, 10_000, latency_ms=0.25),
        """Silos within one data centre: 10 Gbit/s both ways, 0.25 ms one way.

        The line rate of one 10-gigabit port; half of the 0.5 ms of a round trip within a data centre in Dean 2009,
        "Designs, Lessons and Advice from Building Large Distributed Systems" (LADIS).""",
    ),
}


def presets() -> Iterator[tuple[str, Callable[..., Network]]]:
    """The name and the factory of every preset; a factory's defaults are the published figures."""
    yield from ((name, _factory(name, typical, source)) for name, (typical, source) in _TYPICAL.items())


def _factory(name: str, typical: Network, source: str) -> Callable[..., Network]:
    def make(
        uplink_mbps: float = typical.uplink_mbps,
        downlink_mbps: float = typical.downlink_mbps,
        latency_ms: float = typical.latency_ms,
        spread: float = typical.spread,
        compute: float | Literal["measured"] = typical.compute,
    ) -> Network:
        return Network(uplink_mbps, downlink_mbps, latency_ms, spread, compute)

    # What is shown and checked is the preset's, and no function of Python can be called 4g.
    make.__name__ = make.__qualname__ = name
    make.__doc__ = source
    return make
