"""Networks of the simulated clock by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.networks.clock import CLOCK_INPUTS, SECONDS, SECONDS_TOTAL, round_seconds, timed
from federated.networks.network import Network, link
from federated.networks.presets import presets

NETWORKS: dict[str, Callable[..., Network]] = {"link": link, **dict(presets())}

__all__ = ["CLOCK_INPUTS", "NETWORKS", "SECONDS", "SECONDS_TOTAL", "Network", "round_seconds", "timed"]
