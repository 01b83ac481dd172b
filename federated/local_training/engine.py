"""Which engine trains a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from federated.config import Engine
from federated.errors import BadInput
from federated.local_training.linear_stack import linear_stack
from federated.local_training.loop import loop_trainer
from federated.local_training.probe import faster
from federated.local_training.shards import stack_size
from federated.local_training.stacked import stacked_trainer, turns
from federated.local_training.updates import LocalTrainer, PartTrainer
from federated.local_training.vmapped import vmapped_trainer
from federated.local_training.work import LocalWork
from federated.local_training.workers import side_by_side

logger = logging.getLogger(__name__)

# Beyond this many parameters vmap was slower than the loop on a CPU, and to load it costs more than a second.
_SMALL_MODEL = 20_000


def local_trainer(work: LocalWork, engine: Engine, cohort: Sequence[int], threads: int = 1) -> LocalTrainer:
    """The trainer that `engine` asks for, with as many clients or stacks of them side by side as threads.

    cohort: clients such as a round has, for the probe. auto: hand-written kernels for stacks of dense layers,
    which were faster on all that was measured (a 2NN, a logistic regression); for other models the loop, or
    vmap where a short probe finds it faster. The probe is made here, before any training, so that the processes
    of a study all find its outcome.
    Raises BadInput where `vectorised` cannot train the model.
    """
    if engine.name == "loop":
        return loop_trainer(*work, threads=threads)
    layers = linear_stack(work) if work.precision == "float32" else None  # in place, in one type
    if layers is not None:
        logger.info("engine: stacked (%d dense layers)", len(layers))
        turn = turns(threads)
        return side_by_side(work, lambda: stacked_trainer(work, layers, turn=turn), threads, stack_size(work))
    if engine.name == "vectorised":
        return _vmapped(work, threads)
    return _probed(work, threads, cohort)


def _vmapped(work: LocalWork, threads: int) -> LocalTrainer:
    def make() -> PartTrainer:
        return vmapped_trainer(work)

    try:
        make()
    except ValueError as error:
        raise BadInput(f"engine: vectorised: {error}; use auto or loop") from error
    return side_by_side(work, make, threads, stack_size(work))


def _probed(work: LocalWork, threads: int, cohort: Sequence[int]) -> LocalTrainer:
    """The loop, or vmap where it is worth a try and faster on part of this cohort."""
    small = work.model.num_trainable <= _SMALL_MODEL
    if len(cohort) < 4 or (work.inputs.device.type == "cpu" and not small):
        logger.info("engine: loop (the model is no stack of dense layers)")
        return loop_trainer(*work, threads=threads)
    try:
        rivals = {"loop": loop_trainer(*work), "vmap": _vmapped(work, 1)}
    except BadInput as error:
        logger.info("engine: loop (%s)", error)
        return loop_trainer(*work, threads=threads)
    # With one thread each, so that runs one after another and several at a time have the same engine.
    return (
        _vmapped(work, threads)
        if faster(work, rivals, cohort) == "vmap"
        else loop_trainer(*work, threads=threads)
    )
