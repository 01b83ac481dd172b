"""A model cut where its frozen beginning, the trunk, ends: its outputs there are the features of an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from federated.foundation.errors import BadInput
from federated.foundation.randomness import torch_state, torch_watched
from federated.models.flat_model import FlatModel
from federated.models.plain_modules import is_plain

_SAME = (
    1e-4  # how far features of an example may be apart in batches of other sizes, as a share of the largest
)
_SCALED = 1.5


class NoTrunk(ValueError):
    """Raised for a model without a frozen beginning that can run once for all; says why."""


class Cut(NamedTuple):
    """entry: the name of the module that is given the features. end: of the one that returns the model's outputs.

    steps: names of the modules from the one to the other, each given what the one before returns.
    """

    entry: str
    end: str
    steps: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """whole: the model. head: what follows the trunk, with the same vector and the same names in its layout."""

    whole: FlatModel
    head: FlatModel
    cut: Cut


class Trunk:
    """A copy of a model in training mode, in which a trunk is what it is in evaluation mode, and its features."""

    def __init__(self, whole: FlatModel, cut: Cut, *, training: bool = True) -> None:
        self._twin = whole.twin()
        if training:
            self._twin.train()
        else:
            self._twin.module.eval()
        self._given: list[Any] = []
        self.numbers = Tensor()  # the state of torch's generator when the features were there
        self._returned: list[Any] = []
        entry, end = (self._twin.module.get_submodule(name) for name in (cut.entry, cut.end))
        entry.register_forward_pre_hook(self._enter, with_kwargs=True)
        end.register_forward_hook(lambda _, given, returned: self._returned.append(returned))

    @property
    def twin(self) -> FlatModel:
        """The copy; what is written to it is what it computes with."""
        return self._twin

    def __call__(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(features [B, ...], outputs [B, ...]) of ready inputs [B, ...].

        Raises NoTrunk where the model does anything else with these inputs than it does with the others: where what
        comes after the trunk is called more than once, with something besides the features, or not at the end.
        """
        self._given, self._returned = [], []
        outputs = self._twin.module(inputs)
        if len(self._given) != 1 or len(self._returned) != 1 or self._returned[0] is not outputs:
            raise NoTrunk("the model's outputs are not those of one call of its last trained part")
        found = self._given[0]
        if not isinstance(found, Tensor) or len(found) != len(inputs):
            raise NoTrunk(
                "the first trained part is given something else than one tensor with a row an example"
            )
        return found, outputs

    def _enter(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.numbers = torch_state()
        self._given.append(arguments[0] if len(arguments) == 1 and not named else None)


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
    trunk = Trunk(whole, cut)
    with torch_watched(), torch.enable_grad():
        before = torch_state()
        features, _ = trunk(sample.clone())
    evaluated = Trunk(whole, cut, training=False)
    with torch.no_grad():
        still, outputs = evaluated(sample.clone())
        apart = torch.cat([evaluated(each)[0] for each in torch.split(sample.clone(), 1)])
        evaluated.twin.vector.mul_(_SCALED).add_(_SCALED)
        moved, _ = evaluated(sample.clone())
    if not torch.equal(before, trunk.numbers) or not torch.equal(features, still):
        raise NoTrunk(
            "what is before its first trained part is another in training than in evaluation (dropout?)"
        )
    if features.requires_grad or not torch.equal(moved, still):
        raise NoTrunk("what is before its first trained part depends on trained parameters")
    if any(not _within(name, cut) for name in trunk.twin.changed_buffers()):
        raise NoTrunk("what is before its first trained part changes its buffers")
    if features.dtype != whole.vector.dtype:
        raise NoTrunk("its features have another type than its parameters")
    if not _close(apart, still):
        raise NoTrunk("the features of an example depend on the others of its batch")
    with torch.no_grad():
        if not _close(head.module.eval()(still), outputs):
            raise NoTrunk("its outputs are not those of its last parts on the features alone")
    head.train()
    return Split(whole, head, cut)


def _within(name: str, cut: Cut) -> bool:
    """Whether a parameter or buffer is of what follows the trunk."""
    return any(name.startswith(f"{step}.") for step in cut.steps)


def _close(first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape:
        return False
    most = max(float(second.abs().max()), _SAME) if second.numel() else 1.0
    return float((first - second).abs().max()) <= _SAME * most


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
