"""Concept skew: clients with some wrong labels."""

from __future__ import annotations

from typing import Literal

import numpy as np

from data_partitioners.label_permutation import number_of_classes
from data_partitioners.partition import Pool
from data_partitioners.skew import Skew
from data_partitioners.transform import Transform, per_client


def label_noise(
    rate: float | tuple[float, ...],
    share: float = 1.0,
    spread: Literal["equal", "rising"] = "equal",
    kind: Literal["symmetric", "pair"] = "symmetric",
) -> Skew:
    """Each label of a client is wrong with the client's probability; drawn once, for all that the client holds.

    rate: the probability, or a list with one for each client (unseen ones included).
    share: of the clients that mislabel, chosen at random, rounded; the others' labels are right.
    spread: all at the same rate, or client i of N at rate i / (N - 1), as `noise` has it for features.
    kind: "symmetric": any other class, each as likely (so `rate` is the chance of a wrong label; where a paper draws
        among all C classes, its rate is ours times C / (C - 1)). "pair": always the next class, the last one the first.
    """
    rates = np.atleast_1d(np.asarray(rate, np.float64))
    if not len(rates) or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"rate must be from 0 to 1, got {rate}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, got {share}")
    is_list = not isinstance(rate, int | float)

    def draw(pool: Pool, number: int, generator: np.random.Generator) -> Transform:
        num_classes = number_of_classes(pool, "label_noise")
        if is_list and len(rates) != number:
            raise ValueError(
                f"partitioner: label_noise: rate lists {len(rates)} values for {number} clients (unseen included)"
            )
        each = np.zeros(number)
        noisy = generator.permutation(number)[: round(share * number)]
        each[noisy] = np.broadcast_to(rates, number)[noisy]
        if spread == "rising":
            each *= np.arange(number) / max(number - 1, 1)
        # The number of classes travels with the rate; an `apply` sees one block of labels at a time.
        parameters = np.stack([each, np.full(number, num_classes)], axis=1)
        neutral = np.array([0.0, num_classes])
        return Transform(
            "label_noise", "targets", per_client(parameters, neutral), _MISLABEL[kind], generator
        )

    return Skew("label_noise", transforms=(draw,))


def _symmetric(labels: np.ndarray, parameters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    rates, num_classes = parameters[:, 0], parameters[:, 1].astype(np.int64)
    drawn = generator.random((len(labels), 2))
    steps = 1 + np.floor(drawn[:, 0] * (num_classes - 1)).astype(np.int64)
    wrong = drawn[:, 1] < rates
    return np.where(wrong, (labels + steps) % num_classes, labels)


def _pair(labels: np.ndarray, parameters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    wrong = generator.random(len(labels)) < parameters[:, 0]
    return np.where(wrong, (labels + 1) % parameters[:, 1].astype(np.int64), labels)


_MISLABEL = {"symmetric": _symmetric, "pair": _pair}
