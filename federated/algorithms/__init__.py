"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Rows, ServerState, Tensors, Trained
from federated.algorithms.fedadam import fedadam
from federated.algorithms.fedavg import fedavg
from federated.algorithms.fedper import fedper
from federated.algorithms.fedprox import fedprox
from federated.algorithms.scaffold import scaffold
from federated.algorithms.sign_majority import sign_majority

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
    "fedadam": fedadam,
    "scaffold": scaffold,
    "fedper": fedper,
    "sign_majority": sign_majority,
}

__all__ = ["ALGORITHMS", "Algorithm", "ClientHalf", "Heard", "Rows", "ServerState", "Tensors", "Trained"]
