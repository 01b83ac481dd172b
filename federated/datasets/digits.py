"""scikit-learn's bundled handwritten digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from federated.examples.examples import Examples


def digits() -> Callable[[], Examples]:
    """1,797 real images of handwritten digits, 8x8 pixels in 17 levels of grey, 10 classes.

    Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits" (the test part), as bundled with
    scikit-learn. Levels 0 ... 16 are spread over 0 ... 255.
    """

    def load() -> Examples:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        targets = bunch.target.astype(np.int64)
        return Examples("digits", images, targets, tuple(map(str, bunch.target_names)), source="scikit-learn")

    return load
