"""Federated algorithms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.algorithms.algorithm import (
    Algorithm,
    ClientHalf,
    Clusters,
    Heard,
    Need,
    OfClients,
    OfClusters,
    Personal,
    Rows,
    Second,
    ServerState,
    Start,
    Tensors,
    Trained,
    Tuning,
)
from federated.algorithms.clusters.cfl import cfl
from federated.algorithms.clusters.ifca import ifca
from federated.algorithms.corrections.feddyn import feddyn
from federated.algorithms.corrections.fednova import fednova
from federated.algorithms.corrections.mime_lite import mime_lite
from federated.algorithms.corrections.q_fedavg import q_fedavg
from federated.algorithms.corrections.scaffold import scaffold
from federated.algorithms.fedavg import fedavg
from federated.algorithms.fedlc import fedlc
from federated.algorithms.fedprox import fedprox
from federated.algorithms.fedsgd import fedsgd
from federated.algorithms.holdings import Holdings
from federated.algorithms.moon import moon
from federated.algorithms.personal.apfl import apfl
from federated.algorithms.personal.ditto import ditto
from federated.algorithms.personal.fedavg_ft import fedavg_ft
from federated.algorithms.personal.per_fedavg import per_fedavg
from federated.algorithms.personal.pfedme import pfedme
from federated.algorithms.server.fedadagrad import fedadagrad
from federated.algorithms.server.fedadam import fedadam
from federated.algorithms.server.fedavgm import fedavgm
from federated.algorithms.server.fedyogi import fedyogi
from federated.algorithms.sharing.fedbabu import fedbabu
from federated.algorithms.sharing.fedbn import fedbn
from federated.algorithms.sharing.fedper import fedper
from federated.algorithms.sharing.fedrep import fedrep
from federated.algorithms.sharing.lg_fedavg import lg_fedavg
from federated.algorithms.sign_majority import sign_majority

ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "fedavg": fedavg,
    "fedsgd": fedsgd,
    "fedprox": fedprox,
    "fedavgm": fedavgm,
    "fedadagrad": fedadagrad,
    "fedadam": fedadam,
    "fedyogi": fedyogi,
    "scaffold": scaffold,
    "fednova": fednova,
    "feddyn": feddyn,
    "mime_lite": mime_lite,
    "q_fedavg": q_fedavg,
    "fedlc": fedlc,
    "moon": moon,
    "fedper": fedper,
    "fedrep": fedrep,
    "lg_fedavg": lg_fedavg,
    "fedbabu": fedbabu,
    "fedbn": fedbn,
    "fedavg_ft": fedavg_ft,
    "ditto": ditto,
    "apfl": apfl,
    "pfedme": pfedme,
    "per_fedavg": per_fedavg,
    "ifca": ifca,
    "cfl": cfl,
    "sign_majority": sign_majority,
}

ADDED_LATER: dict[str, dict[str, object]] = {
    "fedadam": {"bias_correction": False},
    "fedprox": {"adaptive": False, "falls": 5},
    "scaffold": {"option": 2},
}
"""Algorithm -> its arguments that came later than it, with their defaults, at which they are not in run keys."""

__all__ = [
    "ADDED_LATER",
    "ALGORITHMS",
    "Algorithm",
    "ClientHalf",
    "Clusters",
    "Heard",
    "Holdings",
    "Need",
    "OfClients",
    "OfClusters",
    "Personal",
    "Rows",
    "Second",
    "ServerState",
    "Start",
    "Tensors",
    "Trained",
    "Tuning",
]
