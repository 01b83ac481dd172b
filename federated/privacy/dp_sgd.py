"""Differentially private SGD inside clients: every example's gradient is bounded, and their sum is given noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from federated.privacy.clipping import check_norm
from federated.privacy.per_example import PerExample
from federated.privacy.privacy import LocalSteps, Participated, Privacy

if TYPE_CHECKING:
    from dp_accounting import DpEvent


def dp_sgd(norm: float, noise_multiplier: float | None = None) -> Privacy:
    """Scale the gradient of each example down to `norm`, sum, add noise of deviation `noise_multiplier * norm`.

    noise_multiplier: null where privacy.target_epsilon solves for it; 0: no noise and no guarantee, and then norm may
        be infinite too, `{name: dp_sgd, norm: .inf, noise_multiplier: 0}`: SGD on Poisson batches.

    Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1, in every local step of every client. The
    guarantee is towards one example of one client, against everybody who sees the updates, the server among them; it
    says nothing of all that a client has. In each step each example of a client is in the batch on its own with
    probability `local.batch_size` over its examples, as the guarantee needs it; the sum is divided by
    `local.batch_size`, however many there are, and steps are as many as epochs of whole batches have. Optimiser,
    weight decay and what an algorithm adds to a step come after the noise. An epsilon for each client follows from its
    size and the rounds in which it took part; the largest is reported. That a client is not in every round makes it no
    smaller than that, as everybody may know who took part. Sizes of clients are taken as known. Statistics that
    preprocessing and `target.standardise` take from all examples are not covered.
    """
    noise = math.nan if noise_multiplier is None else noise_multiplier
    if noise_multiplier is not None and not 0 <= noise < math.inf:
        raise ValueError(f"noise_multiplier must be a finite number >= 0, got {noise_multiplier}")
    if not (noise == 0 and norm == math.inf):
        check_norm(norm, without_noise="it may be infinite with noise_multiplier: 0")

    def guarantee(participated: Participated) -> tuple[DpEvent, ...]:
        assert participated.local_steps is not None
        return tuple(_event(noise, share, steps) for share, steps in _worst(participated.local_steps))

    def noise_ratio(participated: Participated, size: int) -> float:
        assert participated.local_steps is not None
        return (
            noise
            * math.sqrt(size)
            / float(np.median(participated.local_steps.shares * participated.examples))
        )

    return Privacy(
        guarantee=None if noise == 0 else guarantee,
        unit="example",
        per_example=PerExample(norm, noise),
        noise_ratio=noise_ratio,
    )


def _worst(local: LocalSteps) -> list[tuple[float, int]]:
    """(probability, steps) of clients than which none has as high a probability and as many steps, without repeats."""
    found: list[tuple[float, int]] = []
    pairs = set(zip(local.shares.tolist(), local.steps.tolist(), strict=True))
    for share, steps in sorted(pairs, reverse=True):
        if not found or steps > found[-1][1]:
            found.append((share, steps))
    return found


def _event(noise: float, share: float, steps: int) -> DpEvent:
    """All steps of one client."""
    import dp_accounting as dp

    if not steps:
        return dp.NoOpDpEvent()
    return dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(share, dp.GaussianDpEvent(noise)), steps)
