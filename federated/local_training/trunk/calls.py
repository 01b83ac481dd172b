"""The calls of a model's modules within each other, in order: where a model with a `forward` of its own can be cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from federated.local_training.trunk.beginning import first_of
from federated.models.flat_model import FlatModel

_WORTH = 0.1
"""The share of the model, without its embeddings, that must be before a cut: features of texts take some room."""


@dataclass
class Call:
    """A call of the module of this name. given: its first argument; parts: the calls within, in order."""

    name: str
    given: Any = None
    returned: Any = None
    parts: list[Call] = field(default_factory=list)


class Idle(NamedTuple):
    """A frozen module that need not run.

    shape: of what it returns for an example in the place of what it computes; None: what it is given is as good, as it
    has the same shape. others: how many times it returns None besides; None: what it returns is no tuple.
    """

    name: str
    shape: tuple[int, ...] | None
    others: int | None


class Place(NamedTuple):
    """A place where a model may be cut. entry: the first trained part; before: all that is called before it."""

    entry: str
    before: tuple[str, ...]
    idle: tuple[Idle, ...]


def places(whole: FlatModel, sample: Tensor) -> list[Place]:
    """Where a model may be cut, the last place first: before a part that trains, after frozen ones worth to be spared.

    sample: some ready inputs [B, ...]; those that are whole numbers are of sequences, whose length changes.
    """
    call, found = _called(whole, sample), list[Place]()
    before: list[str] = []
    idle: list[Idle] = []
    varies = not sample.is_floating_point()
    while (at := _first_trained(whole.module, call.parts)) is not None:
        before += [part.name for part in call.parts[:at]]
        new = [each for part in call.parts[:at] for each in _idle(whole.module, part, varies)]
        idle += new
        call = call.parts[at]
        if _size(whole.module, new) and _size(whole.module, idle) >= _WORTH * _size_of_layers(whole.module):
            found.append(Place(call.name, tuple(dict.fromkeys(before)), tuple(dict.fromkeys(idle))))
    return found[::-1]


def _called(whole: FlatModel, sample: Tensor) -> Call:
    """The calls of an evaluation of these inputs."""
    module = whole.twin().module.eval()
    root = Call("")
    stack = [root]

    def enter(name: str, _: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        stack[-1].parts.append(Call(name, first_of(arguments, named)))
        stack.append(stack[-1].parts[-1])

    def leave(_: nn.Module, given: Any, returned: Any) -> None:
        stack.pop().returned = returned

    for name, part in module.named_modules():
        part.register_forward_pre_hook(partial(enter, name), with_kwargs=True)
        part.register_forward_hook(leave)
    with torch.no_grad():
        module(sample.clone())
    return root.parts[0]


def _first_trained(module: nn.Module, calls: Sequence[Call]) -> int | None:
    """The place of the first of these calls of which something is trained; None where nothing is."""
    return next((at for at, call in enumerate(calls) if _trains(module.get_submodule(call.name))), None)


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _idle(module: nn.Module, call: Call, varies: bool) -> Iterator[Idle]:
    """The modules of a call that need not run: the call's own, or else those within it.

    Those without parameters cost little, and a dropout layer whose forward is another one would lose its number.
    """
    if not any(True for _ in module.get_submodule(call.name).parameters()):
        return
    given, returned = call.given, call.returned
    others = None
    if isinstance(returned, tuple) and returned and all(each is None for each in returned[1:]):
        returned, others = returned[0], len(returned) - 1
    if _are_rows(given, returned):
        if given.shape == returned.shape and given.dtype == returned.dtype:
            yield Idle(call.name, None, others)
            return
        if not varies and given.dtype == returned.dtype:
            yield Idle(call.name, tuple(returned.shape[1:]), others)
            return
    for part in call.parts:
        yield from _idle(module, part, varies)


def _are_rows(given: Any, returned: Any) -> bool:
    are = all(
        isinstance(each, Tensor) and each.dim() and each.is_floating_point() for each in (given, returned)
    )
    return are and len(given) == len(returned)


def _size(module: nn.Module, idle: Sequence[Idle]) -> int:
    """The number of parameters of these modules."""
    return sum(_size_of_layers(module.get_submodule(each.name)) for each in set(idle))


def _size_of_layers(module: nn.Module) -> int:
    """The number of a module's parameters without those of embeddings, of which a text reads a few rows."""
    return sum(
        parameter.numel()
        for part in module.modules()
        if not isinstance(part, nn.Embedding)
        for parameter in part.parameters(recurse=False)
    )
