"""Recognition of models that are a plain sequence of convolutions, pooling and dense layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from federated.local_training.dense.activations import ACTIVATIONS, Activation
from federated.local_training.dense.recognise import (
    Dense,
    dense_layers,
    does_nothing,
    is_flatten,
    leaves_of,
    size_of,
    takes_as_they_are,
)
from federated.local_training.steps.dropout import is_keyed
from federated.local_training.steps.work import LocalWork
from federated.models.plain_modules import is_plain

Pair = tuple[int, int]

# Numbers of the matrix of a convolution, and of the columns of one image: tables of 8 bytes each are kept.
_MOST_MATRIX, _MOST_COLUMNS = 2**20, 2**18


class Convolution(NamedTuple):
    """A convolution and what is around it: h -> activation(max_pool(conv(dropout(h)))).

    inputs, outputs: (channels, height, width) of an image before it and after it; parameters: where the kernel
    [channels, channels of the inputs, *kernel] and then the bias, where it has one, lie in the flat vector;
    window: of the pooling, without overlap, (1, 1) where there is none; tile: neighbouring outputs of the
    convolution, before pooling, that are made from one column. Sizes are (height, width).
    """

    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    parameters: slice
    has_bias: bool
    window: Pair = (1, 1)
    tile: Pair = (1, 1)
    activation: Activation | None = None
    dropout: float = 0.0

    @property
    def field(self) -> Pair:
        """Of the inputs, all that a tile depends on."""
        extents = zip(self.tile, self.kernel, self.stride, self.dilation, strict=True)
        height, width = ((tile - 1) * s + d * (k - 1) + 1 for tile, k, s, d in extents)
        return height, width

    @property
    def tiles(self) -> Pair:
        """Rows and columns of tiles."""
        height, width = self.outputs[1:]
        pooled = self.window != (1, 1)
        return (height, width) if pooled else (height // self.tile[0], width // self.tile[1])

    @property
    def numbers(self) -> int:
        """Of a column."""
        return self.inputs[0] * math.prod(self.field)

    @property
    def kernel_parameters(self) -> slice:
        """Where the kernel lies in the flat vector."""
        return slice(self.parameters.start, self.bias_parameters.start)

    @property
    def bias_parameters(self) -> slice:
        """Where the bias lies in the flat vector; empty without one."""
        end = self.parameters.stop
        return slice(end - self.outputs[0] if self.has_bias else end, end)


class ConvolutionStack(NamedTuple):
    """A model's convolutions, at least one, and the dense layers after them, at least one."""

    convolutions: list[Convolution]
    dense: list[Dense]


def convolution_stack(work: LocalWork) -> ConvolutionStack | None:
    """The layers of a model that the hand-written kernels can train; None where they cannot.

    Such a model is an nn.Sequential of nn.Conv2d (zero padding, one group), nn.MaxPool2d (windows side by
    side), nn.ReLU, nn.Tanh, nn.Dropout and nn.Identity, then nn.Flatten and what `linear_stack` takes; all
    parameters trained and none shared, under a loss that has a kernel, on a CPU.
    """
    leaves = leaves_of(work.model.module)
    at = next((number for number, module in enumerate(leaves) if is_flatten(module)), None)
    if at is None or not work.inputs.is_cpu or not takes_as_they_are(work) or work.inputs.dim() != 4:
        return None
    found = _convolutions(leaves[:at], tuple(work.inputs.shape[1:]))
    if found is None:
        return None
    convolutions, dropout = _tiled(found[0]), found[1]
    offset = convolutions[-1].parameters.stop
    dense = dense_layers(leaves[at:], offset, dropout)
    if not dense or dense[0].inputs != math.prod(convolutions[-1].outputs):
        return None
    whole = offset + sum(map(size_of, dense)) == work.model.vector.numel()
    known = work.loss.kernel is not None
    if not (whole and known) or len(set(map(id, leaves))) < len(leaves):
        return None
    return ConvolutionStack(convolutions, dense) if all(map(_pays, convolutions)) else None


def _convolutions(
    leaves: Sequence[nn.Module], shape: tuple[int, ...]
) -> tuple[list[Convolution], float] | None:
    """(the convolutions, the dropout that comes after the last of them)."""
    found: list[Convolution] = []
    dropout = 0.0
    for module in leaves:
        kind = type(module)
        if not is_plain(module, kind) or not all(p.requires_grad for p in module.parameters()):
            return None
        if kind is nn.Conv2d and isinstance(module, nn.Conv2d):
            offset = found[-1].parameters.stop if found else 0
            convolution = _convolution(module, found[-1].outputs if found else shape, offset, dropout)
            if convolution is None:
                return None
            found.append(convolution)
            dropout = 0.0
        elif isinstance(module, nn.Dropout) and is_keyed(module) and not dropout:
            dropout = module.p
        elif found and not dropout and (after := _with(found[-1], module)) is not None:
            found[-1] = after
        elif not does_nothing(module):
            return None
    return (found, dropout) if found else None


def _convolution(
    module: nn.Conv2d, shape: tuple[int, ...], offset: int, dropout: float
) -> Convolution | None:
    channels, height, width = shape
    padding = _padding(module)
    if padding is None or module.groups != 1 or channels != module.in_channels:
        return None
    kernel, stride, dilation = _pair(module.kernel_size), _pair(module.stride), _pair(module.dilation)
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip((height, width), kernel, stride, padding, dilation, strict=True)
    ]
    if min(sizes) < 1:
        return None
    outputs = (module.out_channels, sizes[0], sizes[1])
    end = offset + sum(p.numel() for p in module.parameters())
    has_bias = module.bias is not None
    return Convolution(
        (channels, height, width),
        outputs,
        kernel,
        stride,
        padding,
        dilation,
        slice(offset, end),
        has_bias,
        dropout=dropout,
    )


def _padding(module: nn.Conv2d) -> Pair | None:
    """On each side; None where it is not the same on both, or not of zeros."""
    if module.padding_mode != "zeros":
        return None
    if module.padding == "valid":
        return (0, 0)
    if module.padding == "same":
        height, width = (d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True))
        return None if height % 2 or width % 2 else (height // 2, width // 2)
    return None if isinstance(module.padding, str) else _pair(module.padding)


def _with(convolution: Convolution, module: nn.Module) -> Convolution | None:
    """The convolution and the pooling or the activation after it; the two commute, both being monotonic."""
    if type(module) in ACTIVATIONS and convolution.activation is None:
        return convolution._replace(activation=ACTIVATIONS[type(module)])
    if type(module) is nn.MaxPool2d and convolution.window == (1, 1):
        channels, height, width = convolution.outputs
        window, stride = _pair(module.kernel_size), _pair(module.stride)
        outputs = (channels, height // window[0], width // window[1])
        plain = (module.dilation, module.ceil_mode, module.return_indices) == (1, False, False)
        if plain and window == stride and _pair(module.padding) == (0, 0) and min(outputs) > 0:
            return convolution._replace(window=window, outputs=outputs)
    return None


def _tiled(convolutions: list[Convolution]) -> list[Convolution]:
    """A tile is a window of the pooling, else 2 x 2 where that cuts the outputs evenly.

    But for the last convolution, whose outputs the dense layers take in torch's order.
    """
    tiles = [
        c.window if c.window != (1, 1) else (_two(c.outputs[1]), _two(c.outputs[2])) for c in convolutions
    ]
    tiles[-1] = convolutions[-1].window
    return [c._replace(tile=tile) for c, tile in zip(convolutions, tiles, strict=True)]


def _two(size: int) -> int:
    return 1 if size % 2 else 2


def _pays(convolution: Convolution) -> bool:
    """Whether the tables are small; torch's own convolution is good at the others."""
    outputs = convolution.outputs[0] * math.prod(convolution.tile)
    columns = convolution.numbers * math.prod(convolution.tiles)
    return outputs * convolution.numbers <= _MOST_MATRIX and columns <= _MOST_COLUMNS


def _pair(size: int | tuple[int, ...]) -> Pair:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
