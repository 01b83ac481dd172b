"""The one pass of a trunk over all examples."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import torch
from torch import Tensor

from federated.foundation.limits import LARGEST_CACHE
from federated.local_training.steps.side_by_side import each_in_threads
from federated.local_training.trunk.beginning import Cut, NoTrunk, Trunk
from federated.local_training.trunk.order import batches_by_length
from federated.machine.folders import home
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs

logger = logging.getLogger(__name__)

FOLDER = Path("features")
_BATCH, _BATCH_OF_GPU = 64, 512
_AT_A_TIME, _LINES = (
    8,
    64,
)  # batches a thread whose features are in memory together, and between lines of the log
_FIRST, _OTHERS = 2, 8
_SHARE_OF_GPU = 0.5


class TrunkPass(NamedTuple):
    """The one pass of a trunk over all examples.

    digest: equal for runs that share it. seconds: that it took, or in a rehearsal will take; 0 where its features were
    at hand. num_bytes: of the features.
    """

    digest: str
    seconds: float
    num_bytes: int


def batches_of(inputs: Tensor) -> list[Tensor]:
    """The places of all examples in the batches of a pass."""
    return batches_by_length(inputs, _BATCH if inputs.is_cpu else _BATCH_OF_GPU)


def features_of_all(
    whole: FlatModel, cut: Cut, inputs: Tensor, threads: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """(places of the examples, their features) of each batch, in order; the number of threads changes nothing."""
    batches = batches_of(inputs)
    threads = min(threads, len(batches)) if inputs.is_cpu else 1
    idle: SimpleQueue[Trunk] = SimpleQueue()
    for _ in range(threads):
        idle.put(Trunk(whole, cut, training=False))

    def run(batch: Tensor) -> Tensor:
        trunk = idle.get()
        features = of_rows(trunk, inputs, batch)
        idle.put(trunk)
        return features

    started, said = time.perf_counter(), 0
    logger.info("features: the frozen part of the model runs once on %s examples", f"{len(inputs):,}")
    for done in range(0, len(batches), step := _AT_A_TIME * threads):
        some = batches[done : done + step]
        yield from zip(some, each_in_threads(run, some, threads), strict=True)
        if (ends := min(done + step, len(batches))) - said >= _LINES * threads or ends == len(batches):
            said, share = ends, ends / len(batches)
            logger.info("features: %.0f %% after %.0f s", 100 * share, time.perf_counter() - started)


@torch.inference_mode()
def of_rows(trunk: Trunk, inputs: Tensor, rows: Tensor) -> Tensor:
    """The features of these examples."""
    return trunk(model_inputs(inputs.index_select(0, rows.to(inputs.device))))[0]


def of_some_rows(whole: FlatModel, cut: Cut, inputs: Tensor) -> Tensor:
    """The features of the first examples, and of some others of any length, the longest too: settings that a model
    read from a file may change these alone."""
    order = torch.cat(batches_by_length(inputs, len(inputs)))
    others = order[torch.linspace(0, len(order) - 1, _OTHERS).long()]
    rows = torch.cat([torch.arange(min(_FIRST, len(inputs))), others])
    return of_rows(Trunk(whole, cut, training=False), inputs, rows)


def rehearsed(whole: FlatModel, cut: Cut, inputs: Tensor) -> tuple[list[Tensor], float]:
    """(the features of two batches, seconds of a pass by one thread)."""
    batches = batches_of(inputs)
    trunk = Trunk(whole, cut, training=False)
    seconds, features = 0.0, []
    for batch in (batches[round(at * (len(batches) - 1))] for at in (0.25, 0.75)):
        started = time.perf_counter()
        features.append(of_rows(trunk, inputs, batch).clone())
        seconds += (time.perf_counter() - started) / len(batch) * len(inputs) / 2
    return features, seconds


def check_room(num_bytes: float, device: torch.device, *, is_kept: bool) -> None:
    """Raise NoTrunk where features of so many bytes have no room at home, or on the device."""
    what = f"its features would take {num_bytes / 1e9:,.1f} GB"
    if num_bytes > LARGEST_CACHE:
        raise NoTrunk(f"{what}, the limit is {LARGEST_CACHE / 1e9:,.0f}")
    folder = home() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if not is_kept and num_bytes > (free := shutil.disk_usage(folder).free):
        raise NoTrunk(f"{what}, and the disk of FEDSTUDY_HOME has {free / 1e9:,.1f} GB left")
    if device.type == "cuda" and num_bytes > _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        raise NoTrunk(f"{what}, more than half of what is free on the GPU")
