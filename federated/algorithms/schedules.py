"""Schedules of a learning rate over the rounds, the clients' or the server's."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]
"""(rounds done before this one, rounds in all) -> factor on the learning rate."""


def constant() -> Schedule:
    """The same learning rate in every round."""
    return lambda done, rounds: 1.0


def step(every: int, factor: float = 0.1) -> Schedule:
    """Multiply the learning rate by `factor` after each `every` rounds (torch's StepLR, by round)."""
    if every < 1:
        raise ValueError(f"every must be at least 1 round, got {every}")
    _check_factor(factor)
    return lambda done, rounds: factor ** (done // every)


def exponential(factor: float = 0.99) -> Schedule:
    """Multiply the learning rate by `factor` after each round (torch's ExponentialLR, by round)."""
    _check_factor(factor)
    return lambda done, rounds: factor**done


def cosine(final: float = 0.0) -> Schedule:
    """From 1 down to `final` along half a cosine, which the round after the last would reach.

    Loshchilov & Hutter 2017, "SGDR", eq. 5, without restarts (torch's CosineAnnealingLR, by round).
    """
    if not 0 <= final <= 1:
        raise ValueError(f"final must be between 0 and 1, got {final}")
    return lambda done, rounds: final + (1 - final) * (1 + math.cos(math.pi * done / rounds)) / 2


def _check_factor(factor: float) -> None:
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be in (0, 1], got {factor}")


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "cosine": cosine,
}
