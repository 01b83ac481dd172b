"""PNG files: what Pillow reads is what was written."""

import io

import numpy as np
from PIL import Image

from federated.report.figures.png_file import png_file


def test_pillow_reads_the_pixels_that_were_written():
    noise = np.random.default_rng(0).integers(0, 256, (13, 7, 3), dtype=np.uint8)
    for pixels in (noise, noise[:1], noise[:, :1], np.full_like(noise, 255)):
        with Image.open(io.BytesIO(png_file(pixels, 130))) as read:
            assert read.mode == "RGB"
            assert round(read.info["dpi"][0]) == 130
            assert np.array_equal(np.asarray(read), pixels)
