"""Stochastic gradient descent."""

from __future__ import annotations

from federated.optimisers.optimiser import Optimiser


def sgd() -> Optimiser:
    """A step is the learning rate times the gradient, or with `local.momentum` what that gathers. Every engine."""
    return Optimiser(elementwise=True)
