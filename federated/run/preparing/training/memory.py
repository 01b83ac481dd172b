"""The memory that a run's model cannot do without, and the refusal of a run for which the machine has too little."""

from __future__ import annotations

from typing import NamedTuple

from data_partitioners.partition import sizes_of
from federated.config.run import RunConfig
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.local_training.activations import activations
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.machine.memory import machine_mb
from federated.models.flat_model import FlatModel

_COUNTED = 1_000_000
"""Parameters from which on it is worth counting: a smaller model fits."""
_OF_A_ROUND, _BESIDE_TRAINING, _OF_A_THREAD = 24, 7, 3
"""Vectors of what is trained that stand at once, as `python -m benchmarks.model_memory` finds them: while a round's
updates are encoded, weighed, added up and measured, one client a shard; and while clients train, those of the run and
those of each thread."""
_MB = 1e6


class Needed(NamedTuple):
    """MB of one process. frozen: what all clients share, once. trained: vectors of what is trained, of which many stand
    at once. activations: what steps keep for their gradients, a batch a thread."""

    frozen: float
    trained: float
    activations: float

    @property
    def in_all(self) -> float:
        """Together."""
        return self.frozen + self.trained + self.activations


def needed(config: RunConfig, work: LocalWork, whole: FlatModel) -> Needed:
    """What the model takes at least while it is trained, a client at a time on each thread.

    work: of the engine, whose model is that of the steps. whole: the model with all that is frozen.
    """
    local, vector = work.local, work.model.vector
    largest = int(sizes_of(work.clients).max(initial=1))
    batch = min(local.batch_size or largest, work.micro_batch or largest, largest)
    threads = threads_of(config.orchestration.threads) if work.inputs.is_cpu else 1
    remembered = len(local.optimiser.build().remembers) + bool(local.momentum)
    rows = max(_OF_A_ROUND, _BESIDE_TRAINING + threads * (_OF_A_THREAD + remembered))
    frozen = (
        each for each in (*whole.module.parameters(), *whole.module.buffers()) if not each.requires_grad
    )
    return Needed(
        sum(each.numel() * each.element_size() for each in frozen) / _MB,
        rows * vector.numel() * vector.element_size() / _MB,
        threads * activations(work).of(batch) / _MB,
    )


@doing("measuring the memory that a step takes")
def check_fits(config: RunConfig, work: LocalWork, whole: FlatModel) -> None:
    """Raise BadInput where what a large model needs is more than the machine has."""
    if not work.inputs.is_cpu or sum(each.numel() for each in whole.module.parameters()) < _COUNTED:
        return
    takes, there = needed(config, work, whole), machine_mb()
    if takes.in_all <= there:
        return
    cure = (
        "engine.micro_batch, a smaller local.batch_size or fewer orchestration.threads"
        if takes.activations > takes.trained
        else "a part of it alone (trained), an optimiser that remembers less, or fewer orchestration.threads"
    )
    raise BadInput(
        f"model: {config.model.label()} needs about {takes.in_all:,.0f} MB to be trained: {takes.frozen:,.0f} MB of "
        f"frozen parts, {takes.trained:,.0f} MB for what is trained and {takes.activations:,.0f} MB for the gradients "
        f"of batches; this machine has {there:,.0f} MB: use {cure}, or a smaller model"
    )
