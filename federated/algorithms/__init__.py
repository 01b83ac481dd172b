"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import Algorithm, ServerState
from federated.algorithms.fedavg import fedavg
from federated.algorithms.fedprox import fedprox
from federated.algorithms.sign_majority import sign_majority

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
    "sign_majority": sign_majority,
}

__all__ = ["ALGORITHMS", "Algorithm", "ServerState"]
