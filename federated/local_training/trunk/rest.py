"""The rest of a model with a `forward` of its own, after its trunk: the model itself, in which the trunk idles.

The forward is the model's; frozen modules before the cut hand on what they are given, and the first trained part finds
the kept features in the place of its first argument. So the rest has all names, draws and masks of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from federated.foundation.randomness import torch_watched
from federated.local_training.trunk.beginning import OTHER_SHAPES, Cut, NoTrunk, Tried, close, first_of, tried
from federated.local_training.trunk.calls import Idle, Place, places
from federated.local_training.trunk.states import States, states_of_each
from federated.models.flat_model import FlatModel, copied


@dataclass(frozen=True, eq=False)
class Rest:
    """whole: the model. place: where it is cut. shape, dtype: of one of its ready inputs. by_position: whether features
    are states of positions, [B, length, ...], whose number differs from batch to batch."""

    whole: FlatModel
    place: Place
    shape: tuple[int, ...]
    dtype: torch.dtype
    by_position: bool

    @property
    def cut(self) -> Cut:
        """The cut by which the trunk runs."""
        return Cut(self.place.entry, "", ())

    @property
    def reads_tokens(self) -> bool:
        """Whether inputs are numbers of tokens, which the rest is given too: it has the padding by them."""
        return not self.dtype.is_floating_point

    def numbered(self, inputs: Tensor) -> Tensor:
        """The inputs of the rest for all examples [N, ...]: the number of each, and its tokens where it has some.

        int64 [N, 1 + length] or [N].
        """
        numbers = torch.arange(len(inputs), device=inputs.device)
        return torch.cat([numbers[:, None], inputs.long()], dim=1) if self.reads_tokens else numbers

    def on(self, states: States) -> FlatModel:
        """The rest as a model of `numbered` inputs, with the vector and the names of the whole."""
        module, shelf = copied(self.whole.module), _Shelf()
        for idle in self.place.idle:
            module.get_submodule(idle.name).forward = _Idles(idle)
        entry = module.get_submodule(self.place.entry)
        entry.register_forward_pre_hook(_Enters(shelf, states), with_kwargs=True)
        module.register_forward_pre_hook(_Begins(shelf, self.shape, self.dtype))
        return FlatModel(module, rest_in_evaluation=self.whole.rest_in_evaluation)


def rest_of(whole: FlatModel, sample: Tensor) -> Rest:
    """The rest after the largest trunk that is the same in training as in evaluation.

    sample: some ready inputs [B, ...] of several lengths, on which it is tried. Raises NoTrunk where there is none.
    """
    if not sample.is_floating_point() and sample.dim() != 2:
        raise NoTrunk("its inputs are whole numbers of another shape than [length]")
    why = "too little of it is frozen before its first trained part"
    for place in places(whole, sample):
        try:
            return _tried(whole, place, sample)
        except NoTrunk as error:
            why = str(error)
    raise NoTrunk(why)


def _tried(whole: FlatModel, place: Place, sample: Tensor) -> Rest:
    """The rest at a place. Raises NoTrunk where it does anything else on features than the whole does."""
    cut = Cut(place.entry, "", ())
    seen = tried(whole, cut, sample, lambda name: not _is_before(name, place))
    by_position = not sample.is_floating_point() and seen.features.dim() > 2
    if not by_position and len({each.shape for each in seen.apart}) > 1:
        raise NoTrunk(OTHER_SHAPES)
    found = Rest(whole, place, tuple(sample.shape[1:]), sample.dtype, by_position)
    try:
        same = _is_same(found, found.on(states_of_each(seen.apart, by_position=by_position)), sample, seen)
    except NoTrunk:
        raise
    except Exception as error:  # the model may be anybody's
        raise NoTrunk(f"without what is frozen it fails: {str(error).partition(chr(10))[0]}") from error
    if not same:
        raise NoTrunk("its outputs depend on more than what its first trained part is given")
    return found


def _is_same(found: Rest, rest: FlatModel, sample: Tensor, seen: Tried) -> bool:
    """Whether outputs are those of the whole, in evaluation and, with the same random numbers, in training."""
    numbered = found.numbered(sample)
    with torch.no_grad():
        outputs = rest.twin().module.eval()(numbered)
        training = rest.twin()
        training.train()
        with torch_watched():
            trained = training.module(numbered)
    return close(outputs, seen.outputs) and close(trained, seen.trained)


def _is_before(name: str, place: Place) -> bool:
    return any(name.startswith(f"{module}.") for module in place.before)


class _Shelf:
    """Where a call of a model puts the numbers of its examples; every copy of a model has one of its own."""

    def __init__(self) -> None:
        self.numbers: Tensor | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shelf:
        return _Shelf()


class _Begins:
    """Takes the numbers of the examples from the inputs of a model, and leaves their tokens, or nothing but zeros."""

    def __init__(self, shelf: _Shelf, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self._shelf, self._shape, self._dtype = shelf, shape, dtype

    def __call__(self, module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        (inputs,) = given
        if self._dtype.is_floating_point:
            self._shelf.numbers = inputs
            return (torch.zeros(len(inputs), *self._shape, dtype=self._dtype, device=inputs.device),)
        self._shelf.numbers = inputs[:, 0]
        return (inputs[:, 1:].to(self._dtype),)


class _Enters:
    """Puts the features of the examples in the place of the first argument of the first trained part."""

    def __init__(self, shelf: _Shelf, states: States) -> None:
        self._shelf, self._states = shelf, states

    def __call__(
        self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        numbers, self._shelf.numbers = self._shelf.numbers, None
        if numbers is None:
            raise NoTrunk("its first trained part is called more than once")
        features = self._states.of(numbers, first_of(arguments, named))
        if arguments:
            return (features, *arguments[1:]), named
        return arguments, {**named, next(iter(named)): features}


class _Idles:
    """In the place of a module's forward: what it is given, or zeros."""

    def __init__(self, idle: Idle) -> None:
        self._idle = idle

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        given: Tensor = first_of(arguments, named)
        shape, others = self._idle.shape, self._idle.others
        found = given if shape is None else given.new_zeros(len(given), *shape)
        return found if others is None else (found, *[None] * others)
