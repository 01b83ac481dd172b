"""DRIVE: the signs of a random rotation."""

from __future__ import annotations

from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts
from federated.compressors.pipeline import pipeline
from federated.compressors.values.rotated_values import rotated_values


def drive(unbiased: bool = True) -> Compressor:
    """One bit a number: the signs after a random rotation, times one scale.

    Unbiased under a rotation that is uniform among all (theorem 3), whatever the update; here nearly, see `eden`.

    Vargaftik et al. 2021, "DRIVE: one-bit distributed mean estimation", algorithm 1. With `unbiased` the scale is
    ||x||^2 / ||R x||_1 (theorem 3) and the error pi/2 - 1 = 0.571 of ||x||^2; without, it is ||R x||_1 / d
    (theorem 2), the error 1 - 2/pi = 0.363, and the update shrinks. It is `eden(1)`, which came a year later, and
    differs from the paper as that does.
    """
    return pipeline(Parts(values=rotated_values(1, unbiased)))
