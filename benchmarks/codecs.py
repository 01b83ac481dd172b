"""`python -m benchmarks.codecs`: how fast each compressor is, how small its payloads and how far off what they carry.

Ten clients of a model of 1.7 million parameters, beside copying the same floats in memory, zlib, zstd and training.
With `--workload`: whole rounds of these workloads instead, compression beside training, where clients are many and
small.
"""

from __future__ import annotations

import argparse
import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.codecs_in_rounds import CODECS as IN_ROUNDS
from benchmarks.codecs_in_rounds import share_of_rounds
from benchmarks.data import default_folder
from benchmarks.machine import description
from benchmarks.mcmahan_cnn import BATCH, IMAGES, LAYOUT, training_seconds
from benchmarks.workloads import WORKLOADS
from federated.compressors import Compressor
from federated.extension_points.kinds import COMPRESSOR
from federated.foundation.randomness import Generators, Purpose, generator

CLIENTS = 10
CODECS = (
    "none",
    "float16",
    "bfloat16",
    "int8",
    "natural",
    "terngrad",
    "sign",
    "drive",
    "eden(2)",
    "eden(4)",
    "qsgd(2)",
    "qsgd(4)",
    "qsgd(8)",
    "chain(qsgd(4), entropy)",
    "chain(natural, entropy)",
    "top_k(0.01)",
    "top_k(0.1)",
    "block_top_k(0.01)",
    "random_k(0.01, unbiased=false)",
    "threshold(0.03)",
    "stc(0.01)",
    "chain(top_k(0.01), qsgd(4), entropy)",
    "low_rank(4)",
    "sketch(0.1)",
    "layer_wise(top_k(0.01))",
    "error_feedback(top_k(0.01))",
    "momentum_correction(error_feedback(top_k(0.01)))",
)


class Timed(NamedTuple):
    """One row: seconds for the whole cohort, its float32 bytes over its payloads', and ||error||^2 / ||update||^2."""

    name: str
    encode: float
    decode: float
    ratio: float
    nmse: float


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="the quickest of so many counts")
    parser.add_argument("codecs", nargs="*", help="compressors as a study file writes them")
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=[], help="whole rounds instead")
    parser.add_argument("--data", type=Path, default=default_folder(), help="folder of Fashion-MNIST")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if asked.workload:
        _show_shares(asked.workload, asked.codecs or IN_ROUNDS, asked.data)
        return
    updates = updates_of(CLIENTS)
    rows = [
        *_libraries(updates, asked.repeats),
        *(_timed(text, updates, asked.repeats) for text in asked.codecs or CODECS),
    ]
    _show(rows, updates)
    seconds = CLIENTS * training_seconds()
    Console().print(
        f"one epoch of {IMAGES} images in batches of {BATCH} each, plain PyTorch: {seconds:.1f} s"
    )


def updates_of(clients: int) -> Tensor:
    """Updates float32 [C, P] like those of training: normal, with a size for each tensor and heavy tails within."""
    numbers, parts = generator(0, Purpose.DATA), []
    for _, shape in LAYOUT:
        size = (clients, int(np.prod(shape)))
        spread = np.exp(numbers.standard_normal(size, dtype=np.float32))
        scale = 0.01 / np.sqrt(np.prod(shape[1:] or (1,)))
        parts.append(scale * spread * numbers.standard_normal(size, dtype=np.float32))
    return torch.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))


def _libraries(updates: Tensor, repeats: int) -> list[Timed]:
    """What moving or packing the same floats costs without any knowledge of what they are."""
    rows = updates.numpy()
    copy = np.empty_like(rows)
    seconds = _quickest(lambda: np.copyto(copy, rows), repeats)
    table = [Timed("copy in memory", seconds, seconds, 1.0, 0.0)]
    whole = rows.tobytes()
    zstd = pa.Codec("zstd", compression_level=1)
    for name, pack, unpack in (
        ("zlib, level 1", lambda: zlib.compress(whole, 1), zlib.decompress),
        (
            "zstd, level 1",
            lambda: zstd.compress(whole, asbytes=True),
            lambda packed: zstd.decompress(packed, decompressed_size=len(whole)),
        ),
    ):
        packed = pack()
        encode, decode = _quickest(pack, 1), _quickest(lambda u=unpack, p=packed: u(p), 1)  # type: ignore[misc]
        table.append(Timed(name, encode, decode, len(whole) / len(packed), 0.0))
    return table


def _timed(text: str, updates: Tensor, repeats: int) -> Timed:
    compressor: Compressor = COMPRESSOR.bind(text).build().fitted(LAYOUT)
    clients, size = updates.shape
    state, numbers = compressor.init(clients, size), Generators(0, Purpose.COMPRESSION, 0, range(clients))
    payloads, _ = compressor.encode(state, updates, numbers)
    decoded = compressor.decode(payloads, size)
    nmse = float((decoded - updates).square().sum() / updates.square().sum())
    return Timed(
        text,
        _quickest(lambda: compressor.encode(state, updates, numbers), repeats),
        _quickest(lambda: compressor.decode(payloads, size), repeats),
        4 * updates.numel() / sum(map(len, payloads)),
        nmse,
    )


def _quickest(work: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _show(rows: list[Timed], updates: Tensor) -> None:
    megabytes = 4 * updates.numel() / 1e6
    table = Table(
        title=f"{updates.shape[0]} clients x {updates.shape[1]:,} parameters, {megabytes:.1f} MB of float32"
    )
    for header in ("compressor", "encode, s", "decode, s", "MB/s, both", "ratio", "NMSE"):
        table.add_column(header, justify="left" if header == "compressor" else "right")
    for row in rows:
        both = row.encode + row.decode
        cells = (f"{row.encode:.3f}", f"{row.decode:.3f}", f"{megabytes / both:,.0f}")
        table.add_row(row.name, *cells, f"{row.ratio:.1f}", f"{row.nmse:.4f}")
    _print(table)


def _show_shares(workloads: Sequence[str], codecs: Sequence[str], folder: Path) -> None:
    table = Table(title="median of the rounds but the first, one thread")
    headers = (
        "workload",
        "compressor",
        "training, ms",
        "compression, ms",
        "% of training",
        "us a client",
        "data",
    )
    for header in headers:
        table.add_column(header, justify="left" if header in ("workload", "compressor", "data") else "right")
    for workload in workloads:
        for codec in codecs:
            share = share_of_rounds(workload, codec, folder)
            table.add_row(
                *(workload, codec, f"{1e3 * share.training:.1f}", f"{1e3 * share.compression:.1f}"),
                *(f"{100 * share.compression / share.training:.0f}", f"{1e6 * share.a_client:.0f}"),
                "Fashion-MNIST" if share.real else "random",
            )
    _print(table)


def _print(table: Table) -> None:
    screen = Console(width=110)
    screen.print(table)
    machine = description(torch.get_num_threads())
    screen.print(
        ", ".join(f"{name} {machine[name]}" for name in ("date", "commit", "cpu", "threads", "load_average"))
    )


if __name__ == "__main__":
    main()
