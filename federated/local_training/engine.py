"""The choice of the engine that trains a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

from torch.nn.modules.batchnorm import _NormBase

from federated.config.run import Engine
from federated.foundation.errors import BadInput
from federated.local_training.by_example.dense import dense_by_example
from federated.local_training.convolution.by_example import im2col_by_example
from federated.local_training.convolution.recognise import ConvolutionStack, convolution_stack
from federated.local_training.convolution.trainer import im2col_trainer
from federated.local_training.dense.recognise import Dense, linear_stack
from federated.local_training.dense.trainer import stacked_trainer, turns
from federated.local_training.engine_probe import faster
from federated.local_training.folding.trainer import clients_in_a_pass, folded_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.memory import stack_size
from federated.local_training.race import Race, quicker
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.steps.updates import LocalTrainer
from federated.local_training.steps.work import LocalWork
from federated.local_training.vmapped import vmapped_trainer
from federated.machine.torch_threads import keeps_bits

logger = logging.getLogger(__name__)

# Beyond this many parameters vmap was slower than the loop on a CPU, and to load it costs more than a second.
_SMALL_MODEL = 20_000


def loop(work: LocalWork, threads: int) -> LocalTrainer:
    """One client after another on each thread, for any model: what every other engine is held against."""
    return loop_trainer(*work, threads=threads)


def stacked(work: LocalWork, threads: int) -> LocalTrainer:
    """Many clients in one product, for stacks of dense layers. Raises ValueError for other work."""
    if (layers := _dense_layers(work)) is None:
        raise ValueError(
            "the model is no stack of dense layers, or its loss, optimiser or precision is none for such kernels"
        )
    return _stacked(work, layers, threads)


def im2col(work: LocalWork, threads: int) -> LocalTrainer:
    """Hand-written convolutions, one client at a time on each thread. Raises ValueError for other work."""
    if (stack := _convolutions(work)) is None:
        raise ValueError(
            "the model is no row of convolutions, or its loss, optimiser or precision is none for such kernels"
        )
    make = im2col_trainer if work.per_example is None else im2col_by_example
    return side_by_side(work, lambda: make(work, stack), threads, 1)


def vmap(work: LocalWork, threads: int) -> LocalTrainer:
    """Many clients at once through torch.func. Raises ValueError where it cannot take the model."""
    if work.per_example is not None:
        raise ValueError(
            "Poisson batches differ in size from client to client, and the model is no stack of dense layers"
        )
    if not work.local.optimiser.build().elementwise:
        raise ValueError(
            f"the optimiser {work.local.optimiser.label()} does not say that it is elementwise, so clients cannot be "
            "stacked"
        )
    vmapped_trainer(work)
    return side_by_side(work, lambda: vmapped_trainer(work), threads, stack_size(work))


def folded(work: LocalWork, threads: int) -> LocalTrainer:
    """Many clients in one pass of a model that is frozen but for some layers. Raises ValueError for other work."""
    if work.micro_batch is not None:
        raise ValueError("pieces of a batch are of the loop")
    folded_trainer(work)
    clients = min(stack_size(work), clients_in_a_pass(work))
    return side_by_side(work, lambda: folded_trainer(work), threads, clients)


ENGINES: dict[str, Callable[[LocalWork, int], LocalTrainer]] = {
    "loop": loop,
    "stacked": stacked,
    "im2col": im2col,
    "vmap": vmap,
    "folded": folded,
}
"""(work, threads) -> trainer; raises ValueError, with the reason, before anything is trained where it cannot.

What one takes, it trains as the loop does, whatever is asked of it: tests/test_engine_contract.py.
"""


def local_trainer(work: LocalWork, engine: Engine, cohort: Sequence[int], threads: int = 1) -> LocalTrainer:
    """The trainer that `engine` asks for, with as many clients or stacks of them side by side as threads.

    cohort: clients such as a round has, for the probe. auto: hand-written kernels for stacks of dense layers,
    which were faster on all that was measured (a 2NN, a logistic regression); for other models the loop, or
    what a short probe finds faster: hand-written convolutions (im2col), vmap, or one pass of a model that is mostly
    frozen for many clients (folded). The probe is made here, before any training, so that the processes of a study
    all find its outcome.
    Raises BadInput where `vectorised` cannot train the model.
    """
    if work.micro_batch is not None:
        _check_pieces(work)
    if engine.name == "loop":
        return loop(work, threads)
    if (layers := _dense_layers(work)) is not None:
        logger.info("engine: stacked (%d dense layers)", len(layers))
        return _stacked(work, layers, threads)
    if engine.name == "vectorised":
        try:
            return vmap(work, threads)
        except ValueError as error:
            raise BadInput(f"engine: vectorised: {error}; use auto or loop") from error
    if work.micro_batch is not None:
        logger.info("engine: loop (batches in pieces of %d)", work.micro_batch)
        return loop(work, threads)
    return _probed(work, threads, cohort)


def _check_pieces(work: LocalWork) -> None:
    """Raise BadInput where the gradient of a batch is not the mean of those of its pieces."""
    model = work.model.twin()
    model.train()
    for name, layer in model.module.named_modules():
        if isinstance(layer, _NormBase) and layer.training:
            raise BadInput(
                f"engine.micro_batch: {name} normalises by the statistics of a batch, and pieces of {work.micro_batch} "
                "have others: leave micro_batch out, or use another normalisation"
            )


def _dense_layers(work: LocalWork) -> list[Dense] | None:
    """None where the hand-written kernels, which work in place and in one type, cannot."""
    return linear_stack(work) if _by_hand(work) else None


def _by_hand(work: LocalWork) -> bool:
    """Whether gradients and steps may be taken by hand, many clients or layers at a time."""
    return work.precision == "float32" and work.local.optimiser.build().elementwise


def _convolutions(work: LocalWork) -> ConvolutionStack | None:
    return convolution_stack(work) if _by_hand(work) else None


def _stacked(work: LocalWork, layers: Sequence[Dense], threads: int) -> LocalTrainer:
    """Stacks side by side, or one after another with all threads in each product: the faster at the time.

    Side by side is the safe way beside other programs; on idle cores the other has less of Python, and one stack at a
    time in the caches.
    """
    size, turn = stack_size(work), turns(threads)
    if work.per_example is not None:
        return side_by_side(work, lambda: dense_by_example(work, layers), threads, size)
    apart = side_by_side(work, lambda: stacked_trainer(work, layers, turn=turn), threads, size)
    if threads == 1 or work.inputs.device.type != "cpu" or not keeps_bits():
        return apart
    together = side_by_side(work, lambda: stacked_trainer(work, layers, threads=threads), 1, size)
    return quicker(work, (apart, together), _race(f"{layers} {work.local} {work.inputs.dtype}", threads))


@lru_cache(maxsize=64)
def _race(work: str, threads: int) -> Race:
    """One for all runs of this process on such work, so that every run of a study need not find out anew."""
    return Race()


def _probed(work: LocalWork, threads: int, cohort: Sequence[int]) -> LocalTrainer:
    """The loop, or what is worth a try for this model and faster on part of this cohort."""
    if _convolutions(work) is not None:
        return _raced(work, threads, [max(cohort, key=lambda client: len(work.clients[client]))], ["im2col"])
    small = work.model.num_trainable <= _SMALL_MODEL
    if work.per_example is not None:
        logger.info(
            "engine: loop (the steps are by single examples and the model is no stack of dense layers, nor of "
            "convolutions)"
        )
        return loop(work, threads)
    rivals = ["folded"] if _is_frozen_mostly(work) and len(cohort) > 1 and clients_in_a_pass(work) > 1 else []
    if len(cohort) >= 4 and (work.inputs.device.type != "cpu" or small):
        rivals.append("vmap")
    if not rivals:
        logger.info("engine: loop (the model is no stack of dense layers, nor of convolutions)")
        return loop(work, threads)
    return _raced(work, threads, cohort, rivals)


def _is_frozen_mostly(work: LocalWork) -> bool:
    """Whether less than half of the model is trained."""
    return 2 * work.model.num_trainable < sum(each.numel() for each in work.model.module.parameters())


def _raced(work: LocalWork, threads: int, clients: Sequence[int], names: Sequence[str]) -> LocalTrainer:
    """The loop, or of the engines of these names the fastest that can, on these clients."""
    # With one thread each, so that runs one after another and several at a time have the same engine.
    rivals = {"loop": loop(work, 1)}
    refused = []
    for name in names:
        try:
            rivals[name] = ENGINES[name](work, 1)
        except ValueError as error:
            refused.append(f"{name}: {error}" if len(names) > 1 else str(error))
    if len(rivals) == 1:
        logger.info("engine: loop (%s)", "; ".join(refused))
        return loop(work, threads)
    for reason in refused:
        logger.info("engine: not %s", reason)
    return ENGINES[faster(work, rivals, clients)](work, threads)
