"""A model cut where its frozen beginning, the trunk, ends: its outputs there are the features of an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federated.foundation.errors import BadInput
from federated.local_training.trunk.beginning import OTHER_SHAPES, Cut, NoTrunk, close, tried
from federated.models.flat_model import FlatModel
from federated.models.plain_modules import is_plain


@dataclass(frozen=True, eq=False)
class Split:
    """whole: the model. head: what follows the trunk, with the same vector and the same names in its layout."""

    whole: FlatModel
    head: FlatModel
    cut: Cut


def split(whole: FlatModel, sample: Tensor) -> Split:
    """The model at its frozen beginning, the largest that is the same in training as in evaluation.

    sample: some ready inputs [B, ...], on which it is tried. Raises NoTrunk where there is none.
    """
    why = "its first parameters are trained"
    for cut in _cuts(whole.module):
        if not _is_frozen_before(whole.module, cut):
            continue
        try:
            return _tried(whole, cut, sample)
        except NoTrunk as error:
            why = str(error)
    raise NoTrunk(why)


def _cuts(module: nn.Module) -> list[Cut]:
    """Places at which a trunk may end, the last one first."""
    found: list[Cut] = []
    name, now = "", module
    while True:
        steps = list(_leaves(name, now))
        first = next(at for at, (_, step) in enumerate(steps) if _trains(step))
        names = tuple(step for step, _ in steps)
        # Not before the model's first module; where dropout stands before the first trained one, before the dropout.
        earliest = max(_after_parameters(steps[:first]), 0 if name else 1)
        found += [Cut(names[at], name, names[at:]) for at in range(earliest, first + 1) if at < len(names)]
        inner = _only_trained_child(*steps[first]) if first == len(steps) - 1 else None
        if inner is None:
            return found[::-1]
        name, now = inner


def _after_parameters(steps: Sequence[tuple[str, nn.Module]]) -> int:
    """The place after the last of these modules that has parameters."""
    return max(
        (at + 1 for at, (_, step) in enumerate(steps) if any(True for _ in step.parameters())), default=0
    )


def _only_trained_child(name: str, module: nn.Module) -> tuple[str, nn.Module] | None:
    """The child by name that has all of the trained parameters; None where none has them all."""
    trained = [
        (f"{name}.{child}".lstrip("."), part) for child, part in module.named_children() if _trains(part)
    ]
    own = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    return trained[0] if len(trained) == 1 and not own else None


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of nested nn.Sequentials by name, in order; anything else is a part itself."""
    if is_plain(module, nn.Sequential) and len(module):  # type: ignore[arg-type]
        for child, part in module._modules.items():
            if part is not None:
                yield from _leaves(f"{name}.{child}".lstrip("."), part)
    else:
        yield name, module


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _is_frozen_before(module: nn.Module, cut: Cut) -> bool:
    """Whether any parameter is before the cut, all of which are frozen."""
    return any(not _within(name, cut) for name, _ in module.named_parameters())


def _tried(whole: FlatModel, cut: Cut, sample: Tensor) -> Split:
    """The split at a cut.

    Raises NoTrunk where the features are not the trunk's alone, or the outputs not the head's.
    """
    head = _head(whole, cut.steps)
    seen = tried(whole, cut, sample, lambda name: _within(name, cut))
    if len({each.shape for each in seen.apart} | {seen.features[:1].shape}) > 1:
        raise NoTrunk(OTHER_SHAPES)
    with torch.no_grad():
        if not close(head.module.eval()(seen.features), seen.outputs):
            raise NoTrunk("its outputs are not those of its last parts on the features alone")
    head.train()
    return Split(whole, head, cut)


def _within(name: str, cut: Cut) -> bool:
    """Whether a parameter or buffer is of what follows the trunk."""
    return any(name.startswith(f"{step}.") for step in cut.steps)


def _head(whole: FlatModel, steps: Sequence[str]) -> FlatModel:
    """A model of these modules in a row, by the names that they have in the whole. Raises NoTrunk."""
    module = nn.Sequential()
    for name in steps:
        *path, last = name.split(".")
        within = module
        for part in path:
            if part not in within._modules:
                within.add_module(part, nn.Sequential())
            within = within._modules[part]  # type: ignore[assignment]
        within.add_module(last, whole.module.get_submodule(name))
    try:
        head = FlatModel(module, rest_in_evaluation=whole.rest_in_evaluation)
    except (ValueError, BadInput) as error:
        raise NoTrunk(str(error)) from error
    if (head.layout, head.statistics, head.residuals) != (whole.layout, whole.statistics, whole.residuals):
        raise NoTrunk(
            "trained parameters, or statistics of batches, are in what is before its first trained part"
        )
    return head
