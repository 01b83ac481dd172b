"""Feature skew: every client sees its images from another angle."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.partition import Pool
from data_partitioners.skew import Skew
from data_partitioners.transform import Transform, per_client


def rotation(
    angles: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0), up_to: float | None = None, test: bool = False
) -> Skew:
    """Client i's images are turned by the angle i mod their number, in degrees, counter-clockwise.

    Ghosh et al. 2020, "An Efficient Framework for Clustered Federated Learning", section 6 (rotated MNIST). Quarter
    turns are exact and need square images; other angles are interpolated bilinearly within the frame, black beyond it.

    up_to: instead of `angles`, each client's angle is drawn evenly from -up_to ... up_to.
    test: also the central test images are turned, each by the angle of one client, evenly and at random.
    """
    if not angles or not all(map(math.isfinite, angles)):
        raise ValueError(f"angles must be finite numbers, at least one, got {list(angles)}")
    if up_to is not None and not 0 <= up_to <= 180:
        raise ValueError(f"up_to must be from 0 to 180 degrees, got {up_to}")

    def draw(pool: Pool, number: int, generator: np.random.Generator) -> Transform:
        if up_to is None:
            turned = np.resize(np.asarray(angles, np.float64), number)
        else:
            turned = generator.uniform(-up_to, up_to, number)
        return Transform(
            "rotation", "inputs", per_client(turned, 0.0), _turn, generator, test, groups=up_to is None
        )

    return Skew("rotation", transforms=(draw,))


def _turn(images: np.ndarray, angles: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if images.ndim != 4:
        raise ValueError(
            f"partitioner: rotation needs images [channels, height, width], got inputs of {list(images.shape[1:])}"
        )
    turned = images.copy()
    for angle in np.unique(angles[angles % 360 != 0]):
        rows = angles == angle
        turned[rows] = _turned(images[rows], float(angle))
    return turned


def _turned(images: np.ndarray, angle: float) -> np.ndarray:
    """All images [n, channels, height, width] turned by one angle."""
    if angle % 90:
        from scipy import ndimage

        return np.asarray(ndimage.rotate(images, angle, axes=(3, 2), reshape=False, order=1))
    if images.shape[2] != images.shape[3] and angle % 180:
        height, width = images.shape[2:]
        raise ValueError(f"partitioner: rotation: quarter turns need square images, got {height} x {width}")
    return np.rot90(images, round(angle / 90) % 4, axes=(2, 3))
