"""Noise of a trusted server on the sum of clipped updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.foundation.scales import check_scale
from federated.participation import SamplingLaw
from federated.privacy.clipping import check_norm, clipped
from federated.privacy.privacy import Bounded, Gathered, Memory, Participated, Privacy

if TYPE_CHECKING:
    from dp_accounting import DpEvent

_OF_COHORT = 20
"""The count's deviation is the cohort over this, as in Andrew et al."""


def central_gaussian(
    norm: float,
    noise_multiplier: float | None = None,
    quantile: float | None = None,
    rate: float = 0.2,
    count_noise: float | None = None,
) -> Privacy:
    """Clip each update to `norm`, sum, add noise of deviation `noise_multiplier * norm`, divide by the expected cohort.

    McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models". What the server decodes is clipped
    again, so one client changes the sum by at most `norm`, whatever the codec does. Any algorithm that uses no more
    than the mean update can follow. A server that adds the noise sees every update without it: clients trust it.

    norm: the bound; with `quantile`, that of the first round.
    noise_multiplier: null where privacy.target_epsilon solves for it; 0: no noise and no guarantee, and then norm may
        be infinite too, `{name: central_gaussian, norm: .inf, noise_multiplier: 0}`: the plain
        algorithm, to the bit, with cohorts of a fixed size and equal weights.
    quantile: clip at this quantile of the updates' norms instead, estimated in each round from how many were within it
        (Andrew et al. 2021, "Differentially Private Learning with Adaptive Clipping").
    rate: with `quantile`, the step of the norm's logarithm.
    count_noise: with `quantile`, the deviation of the noise on that count; null: a twentieth of the cohort. The count
        is paid for out of `noise_multiplier`, which accounts for both: updates get a little more.
    """
    noise = math.nan if noise_multiplier is None else noise_multiplier
    if not (noise == 0 and norm == math.inf and quantile is None):
        check_norm(norm, without_noise="it may be infinite with noise_multiplier: 0 and without quantile")
    if noise_multiplier is not None and not (0 <= noise < math.inf):
        raise ValueError(f"noise_multiplier must be a finite number >= 0, got {noise_multiplier}")
    if quantile is not None and not 0 < quantile < 1:
        raise ValueError(f"quantile must be between 0 and 1, got {quantile}")
    check_scale("rate", rate)
    if count_noise is not None:
        check_scale("count_noise", count_noise)
    if quantile is None and (count_noise is not None or rate != 0.2):
        raise ValueError("rate and count_noise have no effect without quantile; leave them out")

    def norm_in(memory: Memory) -> Tensor:
        return memory["norm"] if quantile is not None else torch.tensor(norm)

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        within, longer = clipped(updates, norm_in(memory))
        told = {} if quantile is None else {"within": (~longer).to(updates)[:, None]}
        return Bounded(within, longer, told)

    def release(memory: Memory, gathered: Gathered, numbers: np.random.Generator) -> tuple[Memory, Tensor]:
        limit, cohort = float(norm_in(memory)), gathered.expected / gathered.scale
        of_count = _count_deviation(count_noise, cohort) if quantile is not None else None
        deviation = _of_updates(noise, of_count) * limit * gathered.scale
        mean = gathered.update * (gathered.clients / gathered.expected)
        if noise:
            drawn = torch.from_numpy(numbers.standard_normal(mean.numel())).to(mean)
            mean = mean + deviation / gathered.expected * drawn
        if quantile is None:
            return memory, mean
        assert of_count is not None
        above_half = (float(gathered.told["within"][0]) - 0.5) * gathered.clients
        disturbed = above_half + (of_count * gathered.scale * numbers.standard_normal() if noise else 0.0)
        share = min(max(0.5 + disturbed / gathered.expected, 0.0), 1.0)
        return {"norm": memory["norm"] * math.exp(-rate * (share - quantile))}, mean

    def guarantee(participated: Participated) -> DpEvent:
        import dp_accounting as dp

        if quantile is not None:
            _of_updates(noise, _count_deviation(count_noise, participated.cohort))
        one = dp.GaussianDpEvent(noise)
        if participated.law is SamplingLaw.POISSON:
            one, times = dp.PoissonSampledDpEvent(participated.share, one), participated.rounds
        else:
            times = participated.most
        return dp.SelfComposedDpEvent(one, times)

    def noise_ratio(participated: Participated, size: int) -> float:
        cohort = participated.cohort
        of_count = None if quantile is None else _count_deviation(count_noise, cohort)
        return _of_updates(noise, of_count) * math.sqrt(size) / cohort

    return Privacy(
        bound,
        release,
        init=lambda num_parameters: {} if quantile is None else {"norm": torch.tensor(norm)},
        hears=() if quantile is None else ("norm",),
        tells=() if quantile is None else ("within",),
        guarantee=None if noise == 0 else guarantee,
        bound_again=lambda memory, updates: clipped(updates, norm_in(memory))[0],
        noise_ratio=noise_ratio,
        extrapolates=True,
        amplifies=True,
    )


def _count_deviation(stated: float | None, cohort: float) -> float:
    return cohort / _OF_COHORT if stated is None else stated


def _of_updates(noise: float, count_deviation: float | None) -> float:
    """The noise multiplier of the updates: with that of the count, whose sensitivity is a half, they come to `noise`.

    z_updates^-2 + (2 count_deviation)^-2 = z^-2. Raises ValueError where the count alone costs more.
    """
    if count_deviation is None or not noise:
        return noise
    left = noise**-2 - (2 * count_deviation) ** -2
    if left <= 0:
        raise ValueError(
            f"count_noise {count_deviation:g} must exceed half the noise_multiplier, {noise / 2:.4g} (as stated, or at "
            "least needed for target_epsilon), or the count alone costs more than both may; state a larger "
            "count_noise, a larger cohort, or less noise, which is a larger epsilon"
        )
    return float(left**-0.5)
