"""A network's first convolution, ReLU and 2x2 max-pooling, as one product whose output is easy to pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.local_training.forward.relu_pool import relu_pool, share


def conv_relu_pool(convolution: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """max_pool2d(relu(convolution(inputs)), 2) for inputs [B, channels, height, width] that need no gradient.

    A tile is the patch of the image under 2 x 2q neighbouring outputs, that is q windows of the pooling. One
    product of all tiles with the kernel, shifted to each of the 4q places, gives each corner of the windows
    as a plane of its own, and pooling is a maximum of planes. Tiles overlap far less than the patches of
    im2col: a 5x5 kernel makes 48 numbers of 8 outputs, not 200. Kernel: of stride 1, not padded.
    """

    def forward(inputs: Tensor) -> Tensor:
        weight, bias = convolution.weight, convolution.bias
        height, width = inputs.shape[-2] - weight.shape[2] + 1, inputs.shape[-1] - weight.shape[3] + 1
        if inputs.dim() != 4 or inputs.requires_grad or height % 2 or width % 2 or min(height, width) < 2:
            return relu_pool(F.conv2d(inputs, weight, bias))
        windows = 2 if width % 4 == 0 else 1
        pooled: Tensor = _ConvReluPool.apply(inputs, weight, bias, windows)  # type: ignore[no-untyped-call]
        return pooled

    return forward


class _ConvReluPool(torch.autograd.Function):
    """windows: q. Planes are [2, 2, q x channels, B x rows x tiles], by corner of the window."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, windows: int) -> Tensor:
        tiles = _tiles(inputs, weight.shape[2], weight.shape[3], windows)
        columns = tiles.permute(1, 4, 5, 0, 2, 3).reshape(
            -1, tiles.shape[0] * tiles.shape[2] * tiles.shape[3]
        )
        planes = (_spread(weight, windows) @ columns).view(2, 2, -1, columns.shape[1])
        left, right = planes[:, 0], planes[:, 1]
        upper, lower = torch.maximum(left, right)
        pooled = torch.maximum(upper, lower)
        if bias is not None:
            pooled.add_(bias.repeat(windows)[:, None])
        pooled = pooled.relu_().view(windows, len(weight), len(inputs), tiles.shape[2], tiles.shape[3])
        pooled = pooled.permute(2, 1, 3, 4, 0).reshape(len(inputs), len(weight), tiles.shape[2], -1)
        ctx.save_for_backward(columns, right - left, lower - upper, pooled)
        ctx.weight_shape, ctx.windows, ctx.has_bias = weight.shape, windows, bias is not None
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None, None]:
        columns, lead, lower_lead, pooled = ctx.saved_tensors
        channels, windows = ctx.weight_shape[0], ctx.windows
        gradient = torch.ops.aten.threshold_backward(gradient, pooled, 0)
        gradient = gradient.view(*gradient.shape[:3], -1, windows).permute(4, 1, 0, 2, 3)
        gradient = gradient.reshape(windows * channels, -1)
        of_bias = gradient.sum(dim=1).view(windows, channels).sum(dim=0) if ctx.has_bias else None
        planes = _unpooled(gradient, lead, lower_lead)
        spread = planes.view(-1, columns.shape[1]) @ columns.T
        at = _places(tuple(ctx.weight_shape), windows)
        of_weight = spread.view(-1)[at].view(4 * windows, *ctx.weight_shape).sum(dim=0)
        return None, of_weight, of_bias, None


def _unpooled(gradient: Tensor, lead: Tensor, lower_lead: Tensor) -> Tensor:
    """The gradient of the maxima [q x channels, n], at the corners they came from [2, 2, q x channels, n].

    lead: of the right over the left corner, in the upper and lower half [2, q x channels, n]; lower_lead: of
    the lower over the upper half.
    """
    planes, halves = gradient.new_empty(2, 2, *gradient.shape), torch.empty_like(lead)
    share(gradient, lower_lead, halves[0], halves[1])
    share(halves, lead, planes[:, 0], planes[:, 1])
    return planes


def _tiles(inputs: Tensor, height: int, width: int, windows: int) -> Tensor:
    """A view [B, channels, rows, tiles, height + 1, width + 2q - 1]."""
    return inputs.unfold(2, height + 1, 2).unfold(3, width + 2 * windows - 1, 2 * windows)


def _spread(weight: Tensor, windows: int) -> Tensor:
    """The kernel at each of its 4q places in a tile, zero around it: [4q x channels, numbers of a tile]."""
    _, inputs, height, width = weight.shape
    numbers = inputs * (height + 1) * (width + 2 * windows - 1)
    spread = weight.new_zeros(4 * windows * len(weight) * numbers)
    spread[_places(tuple(weight.shape), windows)] = weight.reshape(-1).repeat(4 * windows)
    return spread.view(-1, numbers)


@lru_cache(maxsize=32)
def _places(shape: tuple[int, int, int, int], windows: int) -> Tensor:
    """The flat positions of the kernel's numbers in `_spread`: [4q x numbers of the kernel]."""
    channels, inputs, height, width = shape
    tile_width = width + 2 * windows - 1
    a, b, w, c, i, u, v = torch.meshgrid(
        *map(torch.arange, (2, 2, windows, channels, inputs, height, width)), indexing="ij"
    )
    row = ((a * 2 + b) * windows + w) * channels + c
    column = (i * (height + 1) + a + u) * tile_width + 2 * w + b + v
    return (row * inputs * (height + 1) * tile_width + column).reshape(-1)
