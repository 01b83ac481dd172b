"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Rows, ServerState, Tensors, Trained
from federated.algorithms.corrections.scaffold import scaffold
from federated.algorithms.fedavg import fedavg
from federated.algorithms.fedper import fedper
from federated.algorithms.fedprox import fedprox
from federated.algorithms.server.fedadagrad import fedadagrad
from federated.algorithms.server.fedadam import fedadam
from federated.algorithms.server.fedavgm import fedavgm
from federated.algorithms.server.fedyogi import fedyogi
from federated.algorithms.sign_majority import sign_majority

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedprox": fedprox,
    "fedavgm": fedavgm,
    "fedadagrad": fedadagrad,
    "fedadam": fedadam,
    "fedyogi": fedyogi,
    "scaffold": scaffold,
    "fedper": fedper,
    "sign_majority": sign_majority,
}

ADDED_LATER: dict[str, dict[str, object]] = {"fedadam": {"bias_correction": False}}
"""Algorithm -> its arguments that came later than it, with their defaults, at which they are not in run keys."""

__all__ = [
    "ADDED_LATER",
    "ALGORITHMS",
    "Algorithm",
    "ClientHalf",
    "Heard",
    "Rows",
    "ServerState",
    "Tensors",
    "Trained",
]
