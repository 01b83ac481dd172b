"""A convolution as one matrix product (im2col): tables of what makes up its columns and its matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from federated.local_training.convolution.recognise import Convolution


class Unfolding(NamedTuple):
    """Tables for a batch of images that lies as rows [features + 2, B], then a row of zeros and one of ones.

    A column holds all that a tile of neighbouring outputs depends on, and the 1 of the bias. Tiles overlap less
    than the patches of single outputs: a 5x5 kernel makes 36 numbers of 2 x 2 outputs, not 100. The matrix
    holds the kernel once for each output of the tile, at its place in the column, with zeros around it. All
    rows are whole batches, so that gathering copies them in one piece each and padding is the row of zeros.

    columns: row of the images that each number of each tile is, int64 [K x tiles].
    matrix: flat parameter that each number of the matrix [outputs of a tile, K] is, int64; an output is (column
        in the tile, row in the tile, channel). The number of parameters P stands for zero.
    gradient: where in the gradient of the matrix, transposed [K, outputs of a tile], the convolution's parameters
        are, int64 [tile size, parameters].
    sources, offsets: the numbers of the columns that each row of the images went to, one row after another, int64.
    """

    columns: Tensor
    matrix: Tensor
    gradient: Tensor
    sources: Tensor
    offsets: Tensor
    numbers: int
    tiles: int
    outputs: int


def unfolding(convolution: Convolution, rows: Tensor, num_parameters: int) -> Unfolding:
    """rows: where the features of the images, in torch's order, lie among their rows, int64 [features]."""
    columns, matrix = _columns(convolution, rows), _matrix(convolution, num_parameters)
    return Unfolding(
        columns.reshape(-1),
        matrix.reshape(-1),
        _gradient(convolution, matrix),
        *_sources(columns.reshape(-1), len(rows)),
        numbers=len(columns),
        tiles=columns.shape[1],
        outputs=len(matrix),
    )


def output_rows(convolution: Convolution) -> Tensor:
    """The positions among their rows of the outputs' features in torch's order, int64 [features].

    As they are where a tile is a window of the pooling; else by (column in the tile, row in it, channel, tile).
    """
    channels, height, width = convolution.outputs
    high, wide = convolution.tile if convolution.window == (1, 1) else (1, 1)
    rows = torch.arange(channels * height * width).view(wide, high, channels, height // high, width // wide)
    return rows.permute(2, 3, 1, 4, 0).reshape(-1)


def _columns(convolution: Convolution, rows: Tensor) -> Tensor:
    """[K, tiles]."""
    channels, height, width = convolution.inputs
    y, x = (
        torch.arange(field)[:, None] + torch.arange(tiles) * tile * stride - padding
        for field, tiles, tile, stride, padding in zip(
            convolution.field,
            convolution.tiles,
            convolution.tile,
            convolution.stride,
            convolution.padding,
            strict=True,
        )
    )
    inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[None, :, None, :]
    pixels = y.clamp(0, height - 1)[:, None, :, None] * width + x.clamp(0, width - 1)[None, :, None, :]
    features = torch.arange(channels)[:, None, None, None, None] * (height * width) + pixels
    columns = torch.where(inside, rows[features], len(rows)).reshape(-1, pixels.shape[2] * pixels.shape[3])
    ones = columns.new_full((1, columns.shape[1]), len(rows) + 1)
    return torch.cat([columns, ones]) if convolution.has_bias else columns


def _matrix(convolution: Convolution, num_parameters: int) -> Tensor:
    """[outputs of a tile, K]."""
    part, (high, wide), (fy, fx) = convolution.parameters, convolution.tile, convolution.field
    bias_at = part.stop - (_channels(convolution) if convolution.has_bias else 0)
    kernel = torch.arange(part.start, bias_at).view(
        _channels(convolution), convolution.inputs[0], *convolution.kernel
    )
    (sy, sx), (dy, dx), (ky, kx) = convolution.stride, convolution.dilation, convolution.kernel
    matrix = torch.full((wide, high, *kernel.shape[:2], fy, fx), num_parameters)
    for b in range(wide):
        for a in range(high):
            ys = slice(a * sy, a * sy + dy * (ky - 1) + 1, dy)
            xs = slice(b * sx, b * sx + dx * (kx - 1) + 1, dx)
            matrix[b, a, :, :, ys, xs] = kernel
    flat = matrix.reshape(wide * high * len(kernel), -1)
    bias = torch.arange(bias_at, part.stop).repeat(wide * high)[:, None]
    return torch.cat([flat, bias], dim=1) if convolution.has_bias else flat


def _channels(convolution: Convolution) -> int:
    return convolution.outputs[0]


def _gradient(convolution: Convolution, matrix: Tensor) -> Tensor:
    part, copies = convolution.parameters, convolution.tile[0] * convolution.tile[1]
    parameters = matrix.T.reshape(-1)
    at = torch.nonzero((parameters >= part.start) & (parameters < part.stop)).view(-1)
    by_parameter = at[torch.argsort(parameters[at], stable=True)]
    return by_parameter.view(part.stop - part.start, copies).T.contiguous()


def _sources(columns: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    at = torch.nonzero(columns < num_rows).view(-1)
    counts = torch.bincount(columns[at], minlength=num_rows)
    return at[torch.argsort(columns[at], stable=True)], counts.cumsum(0) - counts
