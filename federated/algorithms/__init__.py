"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import Algorithm, ServerState
from federated.algorithms.fedavg import fedavg

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
}

__all__ = ["ALGORITHMS", "Algorithm", "ServerState"]
