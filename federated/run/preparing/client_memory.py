"""The memory that a run's clients may fill, where it goes, and the refusal of a run for which there is no room."""

from __future__ import annotations

import shutil

import numpy as np

from federated.algorithms import Need, Rows
from federated.compressors.compressor import under
from federated.config.engine import Engine
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.local_training.memory import machine_bytes
from federated.machine.folders import home
from federated.machine.memory import machine_mb
from federated.models.flat_model import FlatModel
from federated.run.clients.clusters import remembered_cluster
from federated.run.preparing.trainers import Trainers
from federated.trials import Parts

BOUND = "engine.client_memory_mb"
_SHARE = 0.25
_MB = 1_000_000
_FULL_ROWS = 7
"""Matrices of a row for each client that stand at once in 32-bit floats, where a cluster is split: the updates, their
copy, those of one cluster, and both the rows and the directions of these in double precision."""


def bound_bytes(engine: Engine) -> int:
    """The most that clients' memory may take of the machine's."""
    stated = engine.client_memory_mb
    return int(machine_mb() * _SHARE) * _MB if stated is None else stated * _MB


def most_bytes(config: RunConfig, trainers: Trainers, parts: Parts, model: FlatModel) -> dict[str, int]:
    """What all clients that may take part, and canaries, will remember after the last round, by what keeps it."""
    up, algorithm = config.compression.uplink.label(), config.algorithm.label()
    beside = (config.compression.uplink_beside or config.compression.uplink).label()
    moves, trainable = parts.travelling, model.num_trainable
    each = {
        f"compression.uplink: {up} keeps what it remembers": parts.uplink.init(1, moves.num_moving),
        f"compression.uplink_beside: {beside} keeps what it remembers": _beside(config, parts, trainable),
        f"algorithm: {algorithm} keeps what it remembers": parts.algorithm.client.init(1, trainable),
        f"algorithm: {algorithm} keeps a part of the model": {"parameters": model.vector[moves.staying]},
        f"algorithm: {algorithm} keeps the number of its cluster": _cluster(parts),
    }
    if trainers.kind.own_models:
        each = {f"training: {config.training} keeps a model": {"parameters": model.vector}}
    clients = trainers.most_in(config.rounds) + config.privacy.canaries
    return {
        what: clients * sum(value.numel() * value.element_size() for value in rows.values())
        for what, rows in each.items()
    }


def _beside(config: RunConfig, parts: Parts, trainable: int) -> Rows:
    """What the codec of the data beside updates remembers of a client. Of own code it is known that it may send vectors
    as long as the update, and no more."""
    vectors = config.algorithm.own_code() or Need.UNBIASED_BESIDE in parts.algorithm.needs
    length, found = trainable if vectors else 1, Rows()
    for name in parts.algorithm.client.sends:
        found |= under(f"{name}.", parts.uplink_beside(name, length).init(1, length))
    return found


def _cluster(parts: Parts) -> Rows:
    return {} if parts.algorithm.clusters is None else remembered_cluster(np.zeros(1, np.int64))


def split(needed: int, bound: int) -> tuple[int, int]:
    """(bytes in memory, bytes on disk) of so many that clients remember."""
    return min(needed, bound), max(needed - bound, 0)


def check_memory(config: RunConfig, trainers: Trainers, parts: Parts, model: FlatModel) -> None:
    """Raise BadInput where the disk has no room for what clients remember beyond its bound.

    Or where an aggregator or an algorithm that sees the whole cohort would fill half of the machine's memory.
    """
    _check_at_once(config, trainers, parts, model)
    sizes = most_bytes(config, trainers, parts, model)
    total, bound = sum(sizes.values()), bound_bytes(config.engine)
    beyond = split(total, bound)[1]
    if beyond > (free := _free_bytes()):
        instead = (
            "make room there, move FEDSTUDY_HOME to a larger disk, or use fewer clients or a smaller model"
        )
        instead += ", or anchors: [centralised]" if trainers.kind.own_models else ""
        raise BadInput(
            f"{max(sizes, key=lambda name: sizes[name])} for each of {trainers.most_in(config.rounds):,} clients, "
            f"{total / 1e9:,.1f} GB in all, of which {bound / 1e9:,.1f} GB stay in memory ({BOUND}); the disk of "
            f"{home()} has {free / 1e9:,.1f} GB left for the rest: {instead}"
        )


def _free_bytes() -> int:
    """Of the disk of the home, which need not be there yet."""
    folder = home()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _check_at_once(config: RunConfig, trainers: Trainers, parts: Parts, model: FlatModel) -> None:
    """Raise BadInput where the server has more of a whole cohort at once than half of the machine's memory."""
    rows, what = 0, ""
    if not parts.aggregator.linear:
        rows, what = 2, f"aggregator: {config.aggregator.label()} sees an update and a copy of it"
    clusters = parts.algorithm.clusters
    if clusters is not None and not clusters.chosen_by_clients:
        rows, what = _FULL_ROWS, f"algorithm: {config.algorithm.label()} compares the updates of all clients"
    size = rows * trainers.cohort_size * model.vector.numel() * model.vector.element_size()
    if size > (machine := machine_bytes()) // 2:
        raise BadInput(
            f"{what} for each of {trainers.cohort_size:,} clients, {size / 1e9:,.1f} GB in all, and this machine has "
            f"{machine / 1e9:,.1f} GB; use a smaller model or a smaller cohort"
        )
