"""The seconds of a round on the stated network, as they are foreseen."""

from __future__ import annotations

import numpy as np

from federated.forecast.payloads import downlink_bytes, uplink_bytes
from federated.forecast.probe import Probe
from federated.forecast.workload import round_batches, trained_clients
from federated.networks import round_seconds
from federated.run.setup import Setup

_MOST_ROUNDS = 200
"""Over which the slowest client is averaged, where clients' speeds differ."""


def network_seconds(setup: Setup, probed: Probe) -> float | None:
    """The mean over the run's rounds; None without a network, or a server."""
    config, clients = setup.config, max(1, round(trained_clients(setup)))
    if config.network is None:
        return None
    uplink = probed.uplink.expected * clients
    if setup.parts.transport.protocol is not None:
        uplink = uplink_bytes(setup, probed.uplink).expected / setup.last_round
    metrics = {
        "communication/uplink_bytes": uplink,
        "communication/downlink_bytes": downlink_bytes(setup, probed.downlink).expected / setup.last_round,
        "train/cohort_clients": float(clients),
        "system/training_seconds": round_batches(setup) * probed.batch_seconds,
    }
    network = config.network.build()
    rounds = range(1, min(setup.last_round, _MOST_ROUNDS) + 1 if network.spread else 2)
    return float(np.mean([round_seconds(network, metrics, config.seed, number) for number in rounds]))
