"""Recognition of models that are plain stacks of dense layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from federated.local_training.dense.activations import ACTIVATIONS, Activation
from federated.local_training.steps.dropout import is_keyed
from federated.local_training.steps.work import LocalWork
from federated.models.objective import model_inputs
from federated.models.plain_modules import is_plain


class Dense(NamedTuple):
    """A dense layer and what is around it: h -> activation(dropout(h) W^T + b).

    weight: where W [outputs, inputs] lies in the flat vector; bias: where b [outputs] does, None without one;
    dropout: the share of inputs that are dropped.
    """

    outputs: int
    inputs: int
    weight: slice
    bias: slice | None
    activation: Activation | None
    dropout: float = 0.0

    @property
    def width(self) -> int:
        """Columns of a stacked layer: the inputs, and with a bias one that is always 1, rounded up to whole vectors."""
        return self.inputs if self.bias is None else -(-(self.inputs + 1) // _VECTOR) * _VECTOR


_VECTOR = 8


def linear_stack(work: LocalWork) -> list[Dense] | None:
    """The dense layers of a model that the hand-written kernels can train; None where they cannot.

    Such a model is an nn.Sequential of exactly nn.Flatten, nn.Linear, nn.ReLU, nn.Tanh, nn.Dropout and
    nn.Identity, with all parameters trained and none shared, under a loss that has a kernel.
    """
    layers = dense_layers(leaves_of(work.model.module))
    if not layers or not _fits_inputs(work, layers[0]):
        return None
    known = work.loss.kernel is not None
    return layers if known and sum(map(size_of, layers)) == work.model.vector.numel() else None


def dense_layers(leaves: Sequence[nn.Module], offset: int = 0, dropout: float = 0.0) -> list[Dense] | None:
    """The dense layers of a row of modules; None where other modules are among them.

    offset: where the first one's parameters lie in the flat vector; dropout: of the inputs of the first.
    """
    layers: list[Dense] = []
    for module in leaves:
        kind = type(module)
        if not is_plain(module, kind) or not all(p.requires_grad for p in module.parameters()):
            return None
        if kind is nn.Linear and isinstance(module, nn.Linear):
            layers.append(_dense(module, offset, dropout))
            offset, dropout = offset + size_of(layers[-1]), 0.0
        elif kind in ACTIVATIONS and layers and layers[-1].activation is None:
            if dropout and kind is not nn.ReLU:  # with which dropout commutes
                return None
            layers[-1] = layers[-1]._replace(activation=ACTIVATIONS[kind])
        elif is_keyed(module) and isinstance(module, nn.Dropout) and not dropout:
            dropout = module.p
        elif not does_nothing(module) and not (is_flatten(module) and not layers):
            return None
    return None if dropout or len(set(map(id, leaves))) < len(leaves) else layers


def leaves_of(module: nn.Module) -> list[nn.Module]:
    """The parts of nested nn.Sequentials, in order; anything else is a part itself."""
    return list(_leaves(module))


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if is_plain(module, nn.Sequential):
        for child in module._modules.values():
            yield from _leaves(child) if child is not None else ()
    else:
        yield module


def does_nothing(module: nn.Module) -> bool:
    """Whether a module returns its input unchanged."""
    return type(module) is nn.Identity or (type(module) is nn.Dropout and module.p == 0)


def is_flatten(module: nn.Module) -> bool:
    """Whether a module makes one row of numbers of each example."""
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)


def _dense(module: nn.Linear, offset: int, dropout: float) -> Dense:
    outputs, inputs = module.weight.shape
    middle = offset + outputs * inputs
    bias = None if module.bias is None else slice(middle, middle + outputs)
    return Dense(outputs, inputs, slice(offset, middle), bias, None, dropout)


def size_of(layer: Dense) -> int:
    """The number of parameters of a layer."""
    return layer.outputs * layer.inputs + (0 if layer.bias is None else layer.outputs)


def _fits_inputs(work: LocalWork, first: Dense) -> bool:
    """Whether the module would accept the inputs as they are; where not, the loop tells why."""
    shape = work.inputs.shape[1:]
    flattened = any(type(module) is nn.Flatten for module in work.model.module.modules())
    return takes_as_they_are(work) and math.prod(shape) == first.inputs and (flattened or len(shape) == 1)


def takes_as_they_are(work: LocalWork) -> bool:
    """Whether ready inputs have the type of the parameters."""
    return model_inputs(work.inputs[:1]).dtype == work.model.vector.dtype
