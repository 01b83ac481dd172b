"""Images of any format that pillow reads as bytes of one size."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "DIB",
    "TIFF",
    "WEBP",
    "AVIF",
    "JPEG2000",
    "PPM",
    "TGA",
    "PCX",
    "SGI",
    "ICO",
    "QOI",
)
"""Of pillow's formats those of pixels that it reads itself: EPS and the like start other programs."""

MOST_PIXELS = 2 * 10**8
"""A small file could name any size."""

DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What pillow raises for damaged files: each format another thing."""

_MODES = {"rgb": "RGB", "grey": "L"}


def inputs_of_images(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], rows: Any) -> np.ndarray:
    """Bytes [n, channels, height, width] of images: contents of files, paths (no texts), pillow's images or arrays, in
    a list or in the column `image` of a table. Raises ValueError with the row of an image that cannot be read.

    values: height, width, colour ("rgb" or "grey"), resize ("crop", "pad" or "stretch", or "model": as the image
    processor of a pretrained model, of which there are then also resized, [height, width] or the length of the shorter
    side, and resample, pillow's number of a filter).
    """
    if isinstance(rows, pd.DataFrame):
        if "image" not in rows.columns:
            raise ValueError("the rows have no column 'image', which the model takes")
        rows = rows["image"].tolist()
    inputs = np.empty((len(rows), *shape_of(values)), np.uint8)
    for at, row in enumerate(rows):
        try:
            inputs[at] = pixels_of(row, values)
        except ValueError as error:
            raise ValueError(f"the image of row {at + 1}: {error}") from error
    return inputs


def example_of_images(values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The contents of two PNG files, one black, one white."""
    contents = []
    for level in (0, 255):
        file = io.BytesIO()
        Image.new("RGB", (values["width"], values["height"]), (level, level, level)).save(file, "PNG")
        contents.append(file.getvalue())
    return pd.DataFrame({"image": contents})


def shape_of(values: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width)."""
    return (3 if values["colour"] == "rgb" else 1), values["height"], values["width"]


def pixels_of(source: Any, values: Mapping[str, Any]) -> np.ndarray:
    """Bytes [channels, height, width] of one image. Raises ValueError in a sentence on what is wrong with it.

    It is turned as its EXIF orientation says; what is transparent becomes white; of several pictures the first is
    taken; 16 bits become 8.
    """
    try:
        with _opened(source) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width:,} x {image.height:,} pixels are more than {MOST_PIXELS:,}")
            largest = 2 * max(values["height"], values["width"])
            if values["resize"] != "model":
                image.draft(image.mode, (largest, largest))  # a large JPEG is read at a fraction of its size
            turned = _eight_bits(ImageOps.exif_transpose(image))
            resized = _resized(_on_white(turned).convert(_MODES[values["colour"]]), values)
            pixels = np.asarray(resized, np.uint8)
    except DAMAGED as error:
        raise ValueError(_in_our_words(error)) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _opened(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.copy()
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return Image.open(io.BytesIO(source), formats=FORMATS)
    if isinstance(
        source, Path
    ):  # no text: one from a request would open any image of the machine that serves
        return Image.open(source, formats=FORMATS)
    raise ValueError(
        f"an image is needed (the content of a file, a pathlib.Path, an array), got a {type(source).__name__}"
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if "A" not in image.mode and "a" not in image.mode and "transparency" not in image.info:
        return image
    coloured = image.convert("RGBA")
    white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, coloured)


def _resized(image: Image.Image, values: Mapping[str, Any]) -> Image.Image:
    size = (values["width"], values["height"])
    if values["resize"] == "model":
        return _as_its_processor(image, values["resized"], values["resample"], size)
    if image.size == size:
        return image
    if values["resize"] == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if values["resize"] == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


def _as_its_processor(
    image: Image.Image, stated: int | Sequence[int], resample: int, size: tuple[int, int]
) -> Image.Image:
    """As transformers does it: resized, both sides or the shorter one to a length, then the middle of it.

    size: width and height.
    """
    if isinstance(stated, int):
        ratio = stated * max(image.size) / min(image.size)
        width, height = (stated, int(ratio)) if image.width <= image.height else (int(ratio), stated)
    else:
        height, width = stated
    resized = image.resize((width, height), Image.Resampling(resample))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return resized.crop((left, top, left + size[0], top + size[1]))


def _in_our_words(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no image, or of a format that is not read"
    return str(error) or type(error).__name__
