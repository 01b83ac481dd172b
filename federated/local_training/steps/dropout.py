"""Dropout whose masks are a function of (seed, round, client, layer), in every engine and on every device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from federated.foundation.randomness import Purpose, generator, key_of, torch_seeded
from federated.models.plain_modules import is_plain

if TYPE_CHECKING:
    from federated.local_training.steps.work import LocalWork

Draw = Callable[[int, Tensor], Tensor]
"""(number of the layer, its inputs) -> mask of the inputs' shape, type and device."""


class DropoutGenerators:
    """The generators of one client's dropout layers in one round, made when they are asked for.

    stream: of several that the client trains with in the round, see `key_of`.
    """

    def __init__(self, seed: int, done: int, client: int, stream: int = 0) -> None:
        self._key = (*key_of(done, stream), client)
        self._seed = seed
        self._made: dict[int, np.random.Generator] = {}

    def __getitem__(self, layer: int) -> np.random.Generator:
        if layer not in self._made:
            self._made[layer] = generator(self._seed, Purpose.DROPOUT, *self._key, layer)
        return self._made[layer]


def dropout_key(work: LocalWork, client: int, done: int, stream: int = 0) -> tuple[int, int, int, int]:
    """What the numbers of a client's dropout layers in a round are made from, as `DropoutGenerators` takes it."""
    seed, number = work.origin(client)
    return seed, done, number, stream


def is_keyed(module: nn.Module) -> bool:
    """Whether a layer is a dropout layer that draws, and one that the engines draw for."""
    return (
        isinstance(module, nn.Dropout)
        and is_plain(module, nn.Dropout)
        and not module.inplace
        and 0 < module.p < 1
    )


class KeyedDropout(nn.Dropout):
    """nn.Dropout that asks `masks` for its mask."""

    def __init__(self, p: float, layer: int, masks: Masks) -> None:
        super().__init__(p)
        self._layer, self._masks = layer, masks

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self._masks.draw(self._layer, inputs) if self.training else inputs


class Masks:
    """The source of the masks of a model's dropout layers. `draw` is set before each call of the model.

    rates: of dropout, one a layer.
    """

    draw: Draw

    def __init__(self, module: nn.Module) -> None:
        """Replaces the module's dropout layers by keyed ones, in place. Others keep to torch's generator."""
        layers = [part for part in module.modules() if is_keyed(part)]
        self.rates = [float(part.p) for part in layers if isinstance(part, nn.Dropout)]
        numbers = {
            id(part): KeyedDropout(rate, at, self)
            for at, (part, rate) in enumerate(zip(layers, self.rates, strict=True))
        }
        for owner in list(module.modules()):
            for name, part in owner._modules.items():
                owner._modules[name] = numbers.get(id(part), part)

    def draw_from(self, generators: DropoutGenerators) -> None:
        """From now on each mask is drawn from the client's generators."""
        self.draw = lambda layer, inputs: as_mask(
            generators[layer].random(tuple(inputs.shape), np.float32), self.rates[layer], inputs
        )


def as_mask(uniform: np.ndarray, rate: float, like: Tensor) -> Tensor:
    """The mask of uniform numbers in [0, 1): 0 for a share `rate` of them and 1 / (1 - rate) for the others."""
    return (torch.from_numpy(uniform) < 1 - rate).to(like).div_(1 - rate)


def torch_seeded_for(seed: int, done: int, client: int, stream: int = 0) -> AbstractContextManager[None]:
    """Torch's own generator as a function of these, for a model that draws other random numbers than masks.

    The key of another stream is longer than any of a dropout layer.
    """
    key = (*key_of(done, stream), client, 0, 0) if stream else (done, client)
    return torch_seeded(seed, Purpose.DROPOUT, *key)
