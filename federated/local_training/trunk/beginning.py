"""The frozen beginning of a model, its trunk: what it gives to the first trained part, and whether that may be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from federated.foundation.randomness import torch_state, torch_watched
from federated.models.flat_model import FlatModel

_SAME = (
    1e-4  # how far features of an example may be apart in batches of other sizes, as a share of the largest
)
_SCALED = 1.5
OTHER_SHAPES = "its features have another shape for some of the examples"


class NoTrunk(ValueError):
    """Raised for a model without a frozen beginning that can run once for all; says why."""


class Cut(NamedTuple):
    """entry: the name of the module that is given the features. end: of the one that returns the model's outputs.

    steps: names of the modules from the one to the other, each given what the one before returns; none where the model
    calls them in a `forward` of its own.
    """

    entry: str
    end: str
    steps: tuple[str, ...]


class Tried(NamedTuple):
    """What a model was seen to do with a sample [B, ...].

    features [B, ...], outputs [B, ...] in evaluation; trained: outputs in training. apart: the features of each example
    alone, [1, ...]; those of a short text may have fewer positions.
    """

    features: Tensor
    outputs: Tensor
    trained: Tensor
    apart: list[Tensor]


class Trunk:
    """A copy of a model in training mode, in which a trunk is what it is in evaluation mode, and its features."""

    def __init__(self, whole: FlatModel, cut: Cut, *, training: bool = True) -> None:
        self._twin = whole.twin()
        if training:
            self._twin.train()
        else:
            self._twin.module.eval()
        self._given: list[Any] = []
        self._alone = bool(cut.steps)
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
        is_one = len(arguments) == 1 and not named
        self._given.append(first_of(arguments, named) if is_one or not self._alone else None)


def first_of(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The first argument of a call; None where there is none."""
    return next(iter((*arguments, *named.values())), None)


def tried(whole: FlatModel, cut: Cut, sample: Tensor, is_within: Callable[[str], bool]) -> Tried:
    """What the model does with some ready inputs [B, ...].

    is_within: whether a buffer of this name is of what follows the trunk. Raises NoTrunk where the features are not the
    trunk's alone, or not the same in training as in evaluation, or depend on the other examples of a batch.
    """
    trunk = Trunk(whole, cut)
    with torch_watched(), torch.enable_grad():
        before = torch_state()
        features, trained = trunk(sample.clone())
    evaluated = Trunk(whole, cut, training=False)
    with torch.no_grad():
        still, outputs = evaluated(sample.clone())
        apart = [evaluated(each)[0] for each in torch.split(sample.clone(), 1)]
        evaluated.twin.vector.mul_(_SCALED).add_(_SCALED)
        moved, _ = evaluated(sample.clone())
    if not torch.equal(before, trunk.numbers) or not torch.equal(features, still):
        raise NoTrunk(
            "what is before its first trained part is another in training than in evaluation (dropout?)"
        )
    if features.requires_grad or not torch.equal(moved, still):
        raise NoTrunk("what is before its first trained part depends on trained parameters")
    if any(not is_within(name) for name in trunk.twin.changed_buffers()):
        raise NoTrunk("what is before its first trained part changes its buffers")
    if features.dtype != whole.vector.dtype:
        raise NoTrunk("its features have another type than its parameters")
    most = float(still.abs().max()) if still.numel() else 0.0
    for at, alone in enumerate(apart):
        if not close(alone, _as_long(still[at : at + 1], alone), most):
            raise NoTrunk("the features of an example depend on the others of its batch")
    return Tried(still, outputs, trained.detach(), apart)


def close(first: Tensor, second: Tensor, most: float | None = None) -> bool:
    """Whether two tensors are the same up to rounding. most: the largest number around; None: of the second."""
    if first.shape != second.shape:
        return False
    if not second.numel():
        return True
    most = max(float(second.abs().max()) if most is None else most, _SAME)
    return float((first - second).abs().max()) <= _SAME * most


def _as_long(features: Tensor, alone: Tensor) -> Tensor:
    """Features [1, ...] without the positions that fill up a text in a batch with longer ones."""
    return features[:, : alone.shape[1]] if min(features.dim(), alone.dim()) > 2 else features
