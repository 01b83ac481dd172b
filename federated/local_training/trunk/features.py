"""The features of all examples: one pass of the trunk, kept at home for every run that has the same."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from federated.foundation.limits import LARGEST_CACHE
from federated.local_training.steps.side_by_side import each_in_threads
from federated.local_training.trunk.split import NoTrunk, Split, Trunk
from federated.machine.kept import is_kept, kept
from federated.machine.large_arrays import mapped
from federated.models.objective import model_inputs

logger = logging.getLogger(__name__)

_FOLDER, _FILE = Path("features"), "features.npy"
_BATCH, _BATCH_OF_GPU = 64, 512
_AT_A_TIME = 64  # batches between two lines of the log, about
_FIRST, _OTHERS = 2, 8
_BLOCK = 2**24

_REHEARSED: dict[str, tuple[Tensor, float]] = {}
"""What a rehearsal measured last, for the other seeds and arms of its study."""


class TrunkPass(NamedTuple):
    """The one pass of a trunk over all examples.

    digest: equal for runs that share it. seconds: that it will take, 0 where its features are at hand. num_bytes: of
    the features.
    """

    digest: str
    seconds: float
    num_bytes: int


def features_of(
    found: Split, inputs: Tensor, code: Sequence[str], threads: int, *, rehearsal: bool
) -> tuple[Tensor, TrunkPass]:
    """The features of all examples, [N, ...], on the device of the inputs.

    code: what else the trunk's computation depends on, such as digests of a person's own code. rehearsal: where they
    are not at hand, those of the first examples stand in for the others, and the time of a pass is measured.
    Raises NoTrunk where the model does something else with some of the examples, or the features are too large.
    """
    first = _of_some_rows(found, inputs)
    shape, identity = (len(inputs), *first.shape[1:]), _identity(found, inputs, [*code, _digest(first)])
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    num_bytes = math.prod(shape) * found.head.vector.element_size()
    if num_bytes > LARGEST_CACHE:
        raise NoTrunk(
            f"its features would take {num_bytes / 1e9:,.1f} GB, the limit is {LARGEST_CACHE / 1e9:,.0f}"
        )
    if rehearsal and not is_kept("trunk", identity, _FOLDER):
        if digest not in _REHEARSED:
            _REHEARSED.clear()
            _REHEARSED[digest] = _of_some(found, inputs)
        some, seconds = _REHEARSED[digest]
        stand_ins = some[torch.arange(len(inputs), device=some.device) % len(some)]
        return stand_ins, TrunkPass(digest, seconds / threads, num_bytes)
    make = partial(_write, found, inputs, shape, threads)
    values = torch.from_numpy(kept("trunk", identity, make, lambda folder: mapped(folder / _FILE), _FOLDER))
    return values.to(inputs.device), TrunkPass(digest, 0.0, num_bytes)


def batches_by_length(inputs: Tensor, size: int) -> list[Tensor]:
    """The places of all examples [N, ...] in batches, int64; sequences of tokens with others of about their length.

    A sequence ends where its last number begins to repeat, as padding does: a model that leaves out columns that are
    all padding has the least of it. Which are together changes features by rounding alone.
    """
    order = torch.arange(len(inputs))
    if inputs.dim() == 2 and not inputs.is_floating_point() and inputs.dtype != torch.uint8:
        places = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
        lengths = ((inputs != inputs[:, -1:]) * places).amax(dim=1)
        order = torch.argsort(lengths, stable=True).cpu()
    return list(torch.split(order, size))


def _of_some_rows(found: Split, inputs: Tensor) -> Tensor:
    """The features of the first examples, and of some others of any length, the longest too: settings that a model
    read from a file may change these alone."""
    order = torch.cat(batches_by_length(inputs, len(inputs)))
    others = order[torch.linspace(0, len(order) - 1, _OTHERS).long()]
    rows = torch.cat([torch.arange(min(_FIRST, len(inputs))), others]).to(inputs.device)
    with torch.inference_mode():
        return Trunk(found.whole, found.cut, training=False)(model_inputs(inputs.index_select(0, rows)))[0]


def _size(inputs: Tensor) -> int:
    return _BATCH if inputs.is_cpu else _BATCH_OF_GPU


def _write(found: Split, inputs: Tensor, shape: tuple[int, ...], threads: int, folder: Path) -> None:
    """Run the trunk on all examples, as many batches at a time as threads; the number of threads changes nothing."""
    batches = batches_by_length(inputs, _size(inputs))
    dtype = torch.empty(0, dtype=found.head.vector.dtype).numpy().dtype
    array = open_memmap(folder / _FILE, "w+", dtype, shape)
    with (folder / _FILE).open("r+b") as file:  # a disk without room is an error here, and not in the middle
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    threads = min(threads, len(batches)) if inputs.is_cpu else 1
    idle: SimpleQueue[Trunk] = SimpleQueue()
    for _ in range(threads):
        idle.put(Trunk(found.whole, found.cut, training=False))

    @torch.inference_mode()  # of the thread that calls
    def write(batch: Tensor) -> None:
        trunk = idle.get()
        array[batch.numpy()] = _run(trunk, inputs, batch, shape).cpu().numpy()
        idle.put(trunk)

    started = time.perf_counter()
    logger.info("features: the frozen part of the model runs once on %s examples", f"{shape[0]:,}")
    for done in range(0, len(batches), step := _AT_A_TIME * threads):
        each_in_threads(write, batches[done : done + step], threads)
        share = min(done + step, len(batches)) / len(batches)
        logger.info("features: %.0f %% after %.0f s", 100 * share, time.perf_counter() - started)
    array.flush()


def _run(trunk: Trunk, inputs: Tensor, batch: Tensor, shape: tuple[int, ...]) -> Tensor:
    features, _ = trunk(model_inputs(inputs.index_select(0, batch.to(inputs.device))))
    if features.shape[1:] != shape[1:]:
        raise NoTrunk("its features have another shape for some of the examples")
    return features


def _of_some(found: Split, inputs: Tensor) -> tuple[Tensor, float]:
    """(features [n, ...] of a few batches, seconds of a pass by one thread)."""
    batches = batches_by_length(inputs, _size(inputs))
    trunk = Trunk(found.whole, found.cut, training=False)
    timed = [batches[round(at * (len(batches) - 1))] for at in (0.25, 0.75)]
    seconds, features = [], []
    with torch.inference_mode():
        for batch in timed:
            started = time.perf_counter()
            values, _ = trunk(model_inputs(inputs.index_select(0, batch.to(inputs.device))))
            seconds.append((time.perf_counter() - started) / len(batch))
            features.append(values)
    if len({each.shape[1:] for each in features}) > 1:
        raise NoTrunk("its features have another shape for some of the examples")
    return torch.cat(features).clone(), sum(seconds) / len(timed) * len(inputs)


def _identity(found: Split, inputs: Tensor, code: Sequence[str]) -> dict[str, Any]:
    """All that the features depend on: trunk, code and data."""
    module = found.whole.module
    trained = {name for name, _ in found.whole.layout}
    tensors = {
        name: _digest(tensor)
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
        if name not in trained
    }
    return {
        "structure": str(module),
        "cut": list(found.cut),
        "tensors": tensors,
        "code": [*code, *_code_of(found)],
        "inputs": _digest(inputs),
        "device": inputs.device.type,
    }


def _digest(tensor: Tensor) -> str:
    hashed = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    for block in _bytes_of(tensor):
        hashed.update(block)
    return hashed.hexdigest()


def _bytes_of(tensor: Tensor) -> Iterator[bytes]:
    flat = tensor.detach().reshape(-1)
    step = max(1, _BLOCK // flat.element_size())
    for start in range(0, len(flat), step):
        yield flat[start : start + step].cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _code_of(found: Split) -> list[str]:
    """The version of torch and of each package that a module's class comes from, or the class's source."""
    kinds = {type(part) for part in found.whole.module.modules()}
    packages = {kind.__module__.partition(".")[0] for kind in kinds} | {"torch"}
    said = []
    for package in sorted(packages):
        try:
            said.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            said += sorted(_source(kind) for kind in kinds if kind.__module__.partition(".")[0] == package)
    return said


def _source(kind: type) -> str:
    try:
        return hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()
    except (OSError, TypeError):  # it was made by a function: what is known of it is the person's code
        return kind.__qualname__
