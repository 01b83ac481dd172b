"""Correlated noise: privacy without an assumption about sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.foundation.scales import check_scale
from federated.privacy.clipping import check_norm, clipped
from federated.privacy.matrix.toeplitz import noise_deviations, optimal_column, sensitivity
from federated.privacy.privacy import Bounded, Gathered, Memory, Participated, Privacy

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_ROWS = "noise"


def dp_ftrl(
    norm: float, bands: int, noise_multiplier: float | None = None, min_separation: int | None = None
) -> Privacy:
    """Clip updates to `norm` and add noise of which each round takes back a part of what the rounds before it added.

    The server's model is a sum of all rounds, and the errors of such sums are several times smaller than with
    independent noise; nothing is assumed of how cohorts are drawn, besides how far apart the turns of a client are.
    Kairouz et al. 2021, "Practical and Private (Deep) Learning Without Sampling or Shuffling"; with matrices in place
    of their tree, Denisov et al. 2022 and, banded, Choquette-Choo et al. 2023, "(Amplified) Banded Matrix
    Factorization". The noise of all rounds is C^-1 Z, with Z independent of standard deviation `noise_multiplier` x
    `norm`, and C the lower triangular Toeplitz matrix of so many `bands`, its columns of norm 1, whose prefix sums have
    the least mean squared error over the rounds of the run. With 1 band it is independent noise.

    Sequences x and x' of clipped sums that differ in whether one client's updates are there or zeros move C x by `norm`
    times the sensitivity of C, and what is released follows from C x + Z: one Gaussian mechanism for the whole run, of
    noise multiplier `noise_multiplier` / sensitivity. Turns of a client at least `bands` rounds apart move C x in
    directions that are orthogonal: the sensitivity is the root of how many there are. Closer ones cost more, and are
    accounted for.

    norm: the bound of each client's update.
    bands: in how many rounds the noise of one is still taken back; the server remembers that of the last bands - 1.
    noise_multiplier: null where privacy.target_epsilon solves for it; 0: no noise and no guarantee.
    min_separation: the fewest rounds from a client's turn to its next one that the cohorts must guarantee, or the run
        is refused; null: `bands`. `cohort.sampling: in_turn` guarantees the most there is, all others 1.
    """
    noise = math.nan if noise_multiplier is None else noise_multiplier
    if noise_multiplier is not None:
        check_scale("noise_multiplier", noise_multiplier, zero=True)
    check_norm(norm)
    wanted = bands if min_separation is None else min_separation
    for name, value in (("bands", bands), ("min_separation", wanted)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        return Bounded(*clipped(updates, norm))

    def bound_again(memory: Memory, updates: Tensor) -> Tensor:
        return clipped(updates, norm)[0]

    def release(memory: Memory, gathered: Gathered, numbers: np.random.Generator) -> tuple[Memory, Tensor]:
        fresh = noise * norm * gathered.scale * numbers.standard_normal(gathered.update.numel())
        before = memory.get(_ROWS, gathered.update.new_zeros(0, gathered.update.numel()))
        row = next_row(optimal_column(gathered.rounds, bands), before, torch.from_numpy(fresh))
        after = {name: torch.cat([rows[1:], row[None]]) for name, rows in memory.items()}
        mean = gathered.update * (gathered.clients / gathered.expected)
        return after, mean + row / gathered.expected

    def guarantee(participated: Participated) -> DpEvent:
        from dp_accounting import GaussianDpEvent, NoOpDpEvent

        done, rounds = participated.rounds, participated.rounds + participated.to_come
        if bands > rounds:
            raise ValueError(
                f"bands: {bands:,} are more than the run has rounds, {rounds:,}; state at most as many"
            )
        if not participated.most:
            return NoOpDpEvent()
        if participated.apart < wanted and participated.most > 1:
            raise ValueError(
                f"min_separation: {wanted} rounds must lie between two turns of a client, and cohorts of "
                f"{participated.cohort:.4g} among the {participated.clients:,} clients that have examples guarantee "
                f"{participated.apart}; use cohort.sampling: in_turn with smaller cohorts, fewer bands, or state a "
                "smaller min_separation, which costs more epsilon"
            )
        moved = sensitivity(optimal_column(rounds, bands), done, participated.most, participated.apart)
        return GaussianDpEvent(noise / moved)

    def init(num_parameters: int) -> Memory:
        return {_ROWS: torch.zeros(bands - 1, num_parameters)} if bands > 1 else {}

    def noise_ratio(participated: Participated, size: int) -> float:
        rounds = participated.rounds + participated.to_come
        deviations = noise_deviations(optimal_column(rounds, bands), rounds)
        return noise * math.sqrt(size * np.mean(deviations**2)) / participated.cohort

    return Privacy(
        bound,
        release,
        init,
        guarantee=None if noise == 0 else guarantee,
        bound_again=bound_again,
        noise_ratio=noise_ratio,
        extrapolates=True,
        separates=bands > 1,
    )


def next_row(column: np.ndarray, before: Tensor, fresh: Tensor) -> Tensor:
    """The next row [P] of C^-1 Z: from the rows before it, float32 [at least len(column) - 1, P], and that of Z."""
    row = fresh.to(before.device)
    for lag, weight in enumerate(column[1:].tolist(), start=1):
        row = row - weight * before[-lag]
    found: Tensor = (row / column[0]).to(before.dtype)
    return found
