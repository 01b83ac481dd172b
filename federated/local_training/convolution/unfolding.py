"""A convolution as matrix products (im2col): tables of what makes up its columns and its matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from federated.local_training.convolution.recognise import Convolution


class Unfolding(NamedTuple):
    """Tables for a batch of images that lies as rows [features + 2, B], then a row of zeros and one of ones.

    A tile of neighbouring outputs is made of one column of numbers, all that the tile depends on. Tiles overlap less
    than the patches of single outputs: a 5x5 kernel makes 36 numbers of 2 x 2 outputs, not 100. A strip is the
    columns of all tiles that lie below each other, of which each begins some rows further down: numbers that two of
    them have in common are there once. The matrix holds the kernel once for each output of the tile, at its place in
    the column, with zeros around it. Where there are many channels, the rows of a tile are products of their own, of a
    part of the column each: fewer zeros. All rows are whole batches, so that gathering copies them in one piece each
    and padding is the row of zeros.

    strips: row of the images that each number of each strip is, int64 [R x strips].
    matrix: flat parameter that each number of the matrix [M, K] is, int64; an output is (row in the tile, column
        in it, channel). The number of parameters P stands for zero.
    gradient: where in the gradient of the matrix, transposed [K, M], the kernel's parameters are, int64 [copies,
        parameters].
    sources, offsets: the numbers of the strips that each row of the images went to, one row after another, int64.
    columns: where in a strip the K numbers of each product are: for every tile, `parts` of them.
    """

    strips: Tensor
    matrix: Tensor
    gradient: Tensor
    sources: Tensor
    offsets: Tensor
    columns: list[slice]
    numbers: int
    num_strips: int
    parts: int
    outputs: int

    @property
    def tiles(self) -> int:
        """Of an image."""
        return len(self.columns) // self.parts * self.num_strips

    def by_product(self, planes: Tensor) -> list[Tensor]:
        """What each product makes of all that a batch's products make, [outputs of a tile, tiles, B] in any shape."""
        of_parts = planes.view(self.parts, self.outputs // self.parts, len(self.columns) // self.parts, -1)
        return [of_part for of_tile in of_parts.unbind(2) for of_part in of_tile.unbind()]


# Numbers of a row of strips below which the many small products cost more than shared numbers save.
_LEAST_WIDTH = 256
# Outputs of a product below which it is slower for each of them.
_LEAST_OUTPUTS = 16


def unfolding(convolution: Convolution, rows: Tensor, num_parameters: int, most: int) -> Unfolding:
    """rows: where the features of the images, in torch's order, lie among their rows, int64 [features]; most: images.

    Where images are few, every tile is a strip of its own, and all is one product.
    """
    strips, (high, wide), (down, across) = _strips(convolution, rows), convolution.tile, convolution.tiles
    is_one = across * most < _LEAST_WIDTH
    parts = 1 if is_one or wide * _channels(convolution) < _LEAST_OUTPUTS else high
    of_part = convolution._replace(tile=(high // parts, wide))
    matrix = _matrix(of_part, num_parameters)
    hop = of_part.tile[0] * convolution.stride[0] * convolution.inputs[0] * convolution.field[1]
    columns = [slice(at * hop, at * hop + matrix.shape[1]) for at in range(down * parts)]
    if is_one:
        strips, columns = torch.cat([strips[part] for part in columns], dim=1), columns[:1]
    return Unfolding(
        strips.reshape(-1),
        matrix.reshape(-1),
        _gradient(of_part, matrix),
        *_sources(strips.reshape(-1), len(rows)),
        columns=columns,
        numbers=matrix.shape[1],
        num_strips=strips.shape[1],
        parts=parts,
        outputs=parts * len(matrix),
    )


def output_rows(convolution: Convolution) -> Tensor:
    """The positions among their rows of the outputs' features in torch's order, int64 [features].

    As they are where a tile is a window of the pooling; else by (row in the tile, column in it, channel, tile).
    """
    channels, height, width = convolution.outputs
    high, wide = convolution.tile if convolution.window == (1, 1) else (1, 1)
    rows = torch.arange(channels * height * width).view(high, wide, channels, height // high, width // wide)
    return rows.permute(2, 3, 0, 4, 1).reshape(-1)


def _strips(convolution: Convolution, rows: Tensor) -> Tensor:
    """[R, strips]; a number of a strip is (row of the image, channel, column of the field)."""
    channels, height, width = convolution.inputs
    (high, wide), (down, across) = convolution.field, convolution.tiles
    hop, step = (tile * stride for tile, stride in zip(convolution.tile, convolution.stride, strict=True))
    y = torch.arange((down - 1) * hop + high) - convolution.padding[0]
    x = torch.arange(wide)[:, None] + torch.arange(across) * step - convolution.padding[1]
    inside = ((y >= 0) & (y < height))[:, None, None, None] & ((x >= 0) & (x < width))
    pixels = y.clamp(0, height - 1)[:, None, None, None] * width + x.clamp(0, width - 1)
    features = torch.arange(channels)[:, None, None] * (height * width) + pixels
    return torch.where(inside, rows[features], len(rows)).reshape(-1, across)


def _matrix(convolution: Convolution, num_parameters: int) -> Tensor:
    """[M, K]."""
    kernel_part, (high, wide), (fy, fx) = convolution.kernel_parameters, convolution.tile, convolution.field
    kernel = torch.arange(kernel_part.start, kernel_part.stop).view(
        _channels(convolution), convolution.inputs[0], *convolution.kernel
    )
    (sy, sx), (dy, dx), (ky, kx) = convolution.stride, convolution.dilation, convolution.kernel
    matrix = torch.full((high, wide, *kernel.shape[:2], fy, fx), num_parameters)
    for b in range(wide):
        for a in range(high):
            ys = slice(a * sy, a * sy + dy * (ky - 1) + 1, dy)
            xs = slice(b * sx, b * sx + dx * (kx - 1) + 1, dx)
            matrix[a, b, :, :, ys, xs] = kernel
    return matrix.transpose(3, 4).reshape(wide * high * len(kernel), -1)


def _channels(convolution: Convolution) -> int:
    return convolution.outputs[0]


def _gradient(convolution: Convolution, matrix: Tensor) -> Tensor:
    part, copies = convolution.kernel_parameters, convolution.tile[0] * convolution.tile[1]
    parameters = matrix.T.reshape(-1)
    at = torch.nonzero((parameters >= part.start) & (parameters < part.stop)).view(-1)
    by_parameter = at[torch.argsort(parameters[at], stable=True)]
    return by_parameter.view(part.stop - part.start, copies).T.contiguous()


def _sources(columns: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    at = torch.nonzero(columns < num_rows).view(-1)
    counts = torch.bincount(columns[at], minlength=num_rows)
    return at[torch.argsort(columns[at], stable=True)], counts.cumsum(0) - counts
