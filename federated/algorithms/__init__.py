"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import Algorithm, ServerState
from federated.algorithms.fedavg import fedavg
from federated.algorithms.fedprox import fedprox

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
}

__all__ = ["ALGORITHMS", "Algorithm", "ServerState"]
