"""The simulated clock: the time that the measured bytes of a round would have taken on a network.

All it reads is in the metrics of a round, and its random numbers depend on the seed and the round alone, so
that the time of a finished run on any other network is exactly what a run on it would have logged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federated.foundation.randomness import Purpose, generator
from federated.networks.network import Network

_COHORT_CLIENTS, _TRAINING_SECONDS = "train/cohort_clients", "system/training_seconds"
_ALWAYS = ("communication/uplink_bytes", "communication/downlink_bytes", _COHORT_CLIENTS, _TRAINING_SECONDS)
_LOST_CLIENTS = "train/lost_clients"
CLOCK_INPUTS = (
    *_ALWAYS,
    _LOST_CLIENTS,
    "communication/uplink_client_bytes_max",
    "communication/downlink_client_bytes_max",
)
"""What the clock reads of a round's metrics; the last three where they are."""

SECONDS, SECONDS_TOTAL = "system/simulated_seconds", "system/simulated_seconds_total"

_BITS_PER_BYTE = 8
_BITS_PER_MEGABIT = 1e6
_MS_PER_SECOND = 1e3

History = Sequence[tuple[int, dict[str, float]]]
"""(round, metrics) in the order of measurement."""


def timed(
    history: History, network: Network, seed: int, elapsed: float = 0.0
) -> tuple[tuple[int, dict[str, float]], ...]:
    """The history with the simulated time of every round, which replaces any that it had.

    elapsed: simulated seconds before the first round of the history. An entry that is no whole round (an
    evaluation) stays as it is.
    """
    entries = []
    for number, metrics in history:
        if all(name in metrics for name in _ALWAYS):
            seconds = round_seconds(network, metrics, seed, number)
            elapsed += seconds
            metrics = {**metrics, SECONDS: seconds, SECONDS_TOTAL: elapsed}
        entries.append((number, metrics))
    return tuple(entries)


def round_seconds(network: Network, metrics: dict[str, float], seed: int, number: int) -> float:
    """Simulated seconds of round `number`, which ends when its slowest client has been heard; 0 without clients.

    2 latency + 8 (D / r_down + U / r_up) / min_k v_k + compute, with U and D the bytes of the largest payloads of
    the cohort (where a run did not log those, the mean) and v_k = exp(spread z_k), z_k standard normal: an upper
    bound where payloads differ, as the largest need not meet the slowest link. The synchronous round of Nishio and
    Yonetani 2019, "Client Selection for Federated Learning with Heterogeneous Resources in Mobile Edge", but with
    clients that send side by side; log-normal speeds after Balakrishnan et al. 1997, "Analyzing Stability in
    Wide-Area Network Performance".

    Not modelled: transport framing, TLS and connections' set-up and slow start; a link of the server that its
    clients share; loss; clients that stay slow (speeds are drawn anew in every round) or compute at different
    speeds; encoding, decoding and the server's step.
    """
    clients = int(metrics[_COHORT_CLIENTS])
    if not clients:
        return 0.0
    transfer = (
        _megabits(metrics, "downlink") / network.downlink_mbps
        + _megabits(metrics, "uplink") / network.uplink_mbps
    )
    trained = max(clients - int(metrics.get(_LOST_CLIENTS, 0)), 1)
    compute = metrics[_TRAINING_SECONDS] / trained if network.compute == "measured" else network.compute
    waiting = 2 * network.latency_ms / _MS_PER_SECOND
    return waiting + transfer / _slowest_speed(network.spread, clients, seed, number) + compute


def _megabits(metrics: dict[str, float], way: str) -> float:
    """The number of Mbit that the client with the largest payload sends or receives."""
    mean = metrics[f"communication/{way}_bytes"] / metrics[_COHORT_CLIENTS]
    return metrics.get(f"communication/{way}_client_bytes_max", mean) * _BITS_PER_BYTE / _BITS_PER_MEGABIT


def _slowest_speed(spread: float, clients: int, seed: int, number: int) -> float:
    """The least of the cohort's speeds in a round, as a share of the median client's."""
    if spread == 0:
        return 1.0
    return float(np.exp(spread * generator(seed, Purpose.NETWORK, number).standard_normal(clients).min()))
