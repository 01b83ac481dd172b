"""The machine: what it is, and the rates that bound every measurement on it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import description, wait_for
from benchmarks.on_device.given import Answer, Given
from federated.machine.cores import threads_of

_REPEATS = 5
_QUERY = "name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,power.limit,utilization.gpu"


def facts(given: Given) -> Iterator[Answer]:
    """Names, versions and rates. Each rate is the best of some calls, in the unit that its name ends with."""
    answer: Answer = {"machine": description(threads_of(None), given.device), "nvidia_smi": _nvidia_smi()}
    yield answer
    if given.device == "cuda":
        answer["cuda"] = _cuda()
        yield answer
    answer["rates"] = {}
    for name, measure in _rates(given).items():
        try:
            answer["rates"][name] = measure()
        except Exception as error:  # noqa: BLE001 - a rate that cannot be measured is no reason to go without the rest
            answer["rates"][name] = f"failed: {error}"[:300]
        yield answer


def _nvidia_smi() -> dict[str, str] | str:
    if (program := shutil.which("nvidia-smi")) is None:
        return "not there"
    try:
        command = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    values = [value.strip() for value in said.stdout.strip().split(",")]
    names = _QUERY.split(",")
    return dict(zip(names, values, strict=True)) if len(values) == len(names) else said.stdout + said.stderr


def _cuda() -> dict[str, Any]:
    known = torch.cuda.get_device_properties(0)
    return {
        "name": known.name,
        "capability": f"{known.major}.{known.minor}",
        "memory_gb": round(known.total_memory / 1e9, 1),
        "multiprocessors": known.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "tf32_of_products": torch.backends.cuda.matmul.allow_tf32,
        "tf32_of_convolutions": torch.backends.cudnn.allow_tf32,
    }


def _rates(given: Given) -> dict[str, Callable[[], float]]:
    device, on_gpu = given.device, given.device == "cuda"
    side = 128 if given.quick else 8192 if on_gpu else 1024
    rates: dict[str, Callable[[], float]] = {
        f"product {side} float32, TFLOP/s": lambda: _product(device, side, torch.float32),
        f"product {side} bfloat16, TFLOP/s": lambda: _product(device, side, torch.bfloat16),
        "products of ten clients of a 2NN (10x784 by 784x200), TFLOP/s": lambda: _batched(device, 10, 10),
        "products of a hundred clients (10x784 by 784x10), TFLOP/s": lambda: _batched(device, 100, 10, 10),
        "copy within memory, GB/s read and written": lambda: _copy(device, 2**20 if given.quick else 2**28),
        "a small operation, us": lambda: _small(device),
        "a small operation and waiting for it, us": lambda: _small(device, waits=True),
    }
    if on_gpu:
        rates["to the GPU, GB/s"] = lambda: _across(to=True, pinned=False)
        rates["to the GPU from page-locked memory, GB/s"] = lambda: _across(to=True, pinned=True)
        rates["from the GPU, GB/s"] = lambda: _across(to=False, pinned=False)
    return rates


def _best(work: Callable[[], object], device: str, calls: int = 1) -> float:
    """Seconds of a call of the quickest of some repeats, after one to warm up."""
    seconds = []
    for _ in range(_REPEATS + 1):
        wait_for(device)
        started = time.perf_counter()
        for _ in range(calls):
            work()
        wait_for(device)
        seconds.append((time.perf_counter() - started) / calls)
    return min(seconds[1:])


def _normal(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    numbers = torch.Generator(device).manual_seed(0)
    return torch.randn(*shape, generator=numbers, device=device).to(dtype)


def _product(device: str, side: int, dtype: torch.dtype) -> float:
    first, second = _normal(device, side, side, dtype=dtype), _normal(device, side, side, dtype=dtype)
    return 2 * side**3 / _best(lambda: first @ second, device) / 1e12


def _batched(device: str, clients: int, batch: int, outputs: int = 200) -> float:
    first, second = _normal(device, clients, batch, 784), _normal(device, clients, 784, outputs)
    work = 2 * clients * batch * 784 * outputs
    return work / _best(lambda: torch.bmm(first, second), device, 20) / 1e12


def _copy(device: str, numbers: int) -> float:
    first = _normal(device, numbers)
    second = torch.empty_like(first)
    return 8 * numbers / _best(lambda: second.copy_(first), device) / 1e9


def _small(device: str, *, waits: bool = False) -> float:
    tensor = torch.zeros(64, device=device)

    def once() -> None:
        tensor.add_(1)
        if waits:
            float(tensor[0])

    return 1e6 * _best(once, device, 200)


def _across(*, to: bool, pinned: bool) -> float:
    here, there = torch.zeros(2**25), torch.zeros(2**25, device="cuda")
    if pinned:
        here = here.pin_memory()
    first, second = (here, there) if to else (there, here)
    seconds = _best(lambda: second.copy_(first), "cuda")
    return 4 * 2**25 / seconds / 1e9
