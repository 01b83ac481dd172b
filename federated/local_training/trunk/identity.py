"""All that the features of a trunk depend on, for who keeps them."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from federated.local_training.trunk.beginning import Cut
from federated.models.flat_model import FlatModel

_BLOCK = 2**24


def identity_of(whole: FlatModel, cut: Cut, inputs: Tensor, code: Sequence[str]) -> dict[str, Any]:
    """JSON of the whole model but for what is trained, of its code and of the data."""
    return {
        "structure": str(whole.module),
        "cut": list(cut),
        "tensors": _tensors(whole, None),
        "code": [*code, *_code_of(whole.module.modules())],
        "inputs": digest_of(inputs),
        "device": inputs.device.type,
    }


def identity_below(
    whole: FlatModel, cut: Cut, before: Collection[str], inputs: Tensor, code: Sequence[str]
) -> dict[str, Any]:
    """JSON of what a model computes before its cut, for models that differ in what follows have it in common.

    before: the names of the modules that are called before it; of those around them their own tensors count.
    """
    parts = {name: whole.module.get_submodule(name) for name in before}
    around = {name: whole.module.get_submodule(name) for name in sorted(_around(before))}
    within = [each for part in parts.values() for each in part.modules()]
    return {
        "parts": {name: str(part) for name, part in parts.items()},
        "cut": cut.entry,
        "tensors": _tensors(whole, before),
        "code": [*code, *_code_of([*within, *around.values()])],
        "inputs": digest_of(inputs),
        "device": inputs.device.type,
    }


def _around(before: Collection[str]) -> set[str]:
    """The names of all modules that these are in."""
    steps = (name.split(".") for name in before)
    return {".".join(path[:depth]) for path in steps for depth in range(len(path))}


def _tensors(whole: FlatModel, before: Collection[str] | None) -> dict[str, str]:
    """Digests of what is not trained, by name; before: of these modules and of those around them alone."""
    trained = {name for name, _ in whole.layout}
    around = None if before is None else _around(before)
    return {
        name: digest_of(tensor)
        for name, tensor in (*whole.module.named_parameters(), *whole.module.named_buffers())
        if name not in trained
        if around is None or name.rpartition(".")[0] in around or _is_within(name, before or ())
    }


def _is_within(name: str, modules: Collection[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)


def digest_of(tensor: Tensor) -> str:
    """The content address of a tensor."""
    hashed = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    for block in _bytes_of(tensor):
        hashed.update(block)
    return hashed.hexdigest()


def _bytes_of(tensor: Tensor) -> Iterator[bytes]:
    flat = tensor.detach().reshape(-1)
    step = max(1, _BLOCK // flat.element_size())
    for start in range(0, len(flat), step):
        yield flat[start : start + step].cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _code_of(modules: Iterable[nn.Module]) -> list[str]:
    """The version of torch and of each package that a module's class comes from, or the class's source."""
    kinds = {type(part) for part in modules}
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
