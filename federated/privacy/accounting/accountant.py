"""The epsilon of an event, by dp_accounting's privacy loss distributions, or by Renyi divergence where those cannot."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dp_accounting import DpEvent

    from federated.privacy.privacy import Event

_MOST_NUMBERS = 2**21
"""In the array of a composed distribution, of 16 MB; some ten of them are held at a time. Losses beyond are rounded to
coarser steps, which stays an upper bound."""
_FINEST = 1e-4
"""Step of the losses where the array is no longer than that."""
_NEVER = 1e-15
"""Probability of the losses that a composed distribution leaves out."""

Base = tuple[tuple["DpEvent", int], ...]
"""Events that are no compositions, and how often each happened."""


class Spent(NamedTuple):
    """epsilon: at the stated delta; infinite where nothing is guaranteed. accountant: how it was computed."""

    epsilon: float
    accountant: str


def spent(event: Event, delta: float) -> Spent:
    """The epsilon of an event, or the largest of several.

    It is for one record added or removed, or replaced by one that contributes nothing.

    A Gaussian mechanism without sampling has a closed form (Balle and Wang 2018, "Improving the Gaussian Mechanism for
    Differential Privacy"); other events have a privacy loss distribution (Koskela et al. 2020, "Computing Tight
    Differential Privacy Guarantees Using FFT"), which is rounded so that epsilon is never too small,
    the coarser the larger it is; what has none has a bound by Renyi divergence (Mironov 2017). Raises ValueError where
    no accountant knows the event.
    """
    if not isinstance(event, tuple):
        return _spent(_parts(event), delta)
    worst = Spent(0.0, "nothing was released")
    for each in sorted(event, key=lambda one: -_or_infinite(rough(one, delta))):
        if _or_infinite(rough(each, delta)) <= worst.epsilon:
            break  # nor can those after it be worse
        worst = max(worst, spent(each, delta), key=lambda found: found.epsilon)
    return worst


def rough(event: Event, delta: float) -> float:
    """An upper bound of epsilon in a tenth of a second, by Renyi divergence; NaN where that does not know the event."""
    if isinstance(event, tuple):
        bounds = [rough(each, delta) for each in event]
        return math.nan if any(map(math.isnan, bounds)) else max(bounds, default=0.0)
    return _by_renyi(_parts(event), delta)


def _or_infinite(bound: float) -> float:
    return math.inf if math.isnan(bound) else bound


@lru_cache(maxsize=4096)
def _spent(parts: Base, delta: float) -> Spent:
    import dp_accounting as dp

    if not parts:
        return Spent(0.0, "nothing was released")
    if any(isinstance(event, dp.NonPrivateDpEvent) for event, _ in parts):
        return Spent(math.inf, "none")
    if len(parts) == 1 and isinstance(gaussian := parts[0][0], dp.GaussianDpEvent):
        return Spent(dp.get_epsilon_gaussian(gaussian.noise_multiplier, delta), "closed form of a Gaussian")
    bound = _by_renyi(parts, delta)
    step = _step(parts)
    distribution = _by_distribution(parts, delta, step) if step < math.inf else math.nan
    if distribution <= _or_infinite(bound):  # both are upper bounds
        return Spent(distribution, "PLD")
    if not math.isnan(bound):
        return Spent(bound, "RDP")
    raise ValueError(f"no accountant knows {', '.join(str(event) for event, _ in parts)}")


def _by_renyi(parts: Base, delta: float) -> float:
    import dp_accounting as dp

    if not parts:
        return 0.0
    with _quiet():
        found = [(_renyi(event), count) for event, count in parts]
        if any(one is None for one, _ in found):
            return math.nan
        orders = found[0][0][0]
        total = sum(count * divergences for (_, divergences), count in found)
        return float(dp.rdp.compute_epsilon(orders, total, delta)[0])


@lru_cache(maxsize=256)
def _renyi(event: DpEvent) -> Any:
    """(orders, divergences of one event), or None."""
    import dp_accounting as dp

    accountant = dp.rdp.RdpAccountant()
    if not accountant.supports(event):
        return None
    accountant.compose(event)
    return accountant.orders, accountant.rdp


def _step(parts: Base) -> float:
    """To what losses are rounded up: doubled from the finest on until the array is short enough.

    Losses lie, but for a share of `_NEVER`, within the epsilon of that delta on either side.
    """
    reach = _by_renyi(parts, _NEVER)
    if math.isnan(reach):
        return _FINEST
    coarser = 2 * reach / (_FINEST * _MOST_NUMBERS)
    if not 0 < coarser < math.inf:
        return _FINEST + coarser
    return float(_FINEST * 2 ** max(0, math.ceil(math.log2(coarser))))


def _by_distribution(parts: Base, delta: float, step: float) -> float:
    import dp_accounting as dp

    accountant = dp.pld.PLDAccountant(value_discretization_interval=step)
    if not all(accountant.supports(event) for event, _ in parts):
        return math.nan
    whole: Any = None
    for event, count in parts:
        if (one := _distribution(event, step)) is None:  # a rare one, composed by the library itself
            for each, times in parts:
                accountant.compose(each, times)
            return float(accountant.get_epsilon(delta))
        several = one.self_compose(count) if count > 1 else one
        whole = several if whole is None else whole.compose(several)
    return float(whole.get_epsilon_for_delta(delta))


@lru_cache(maxsize=64)
def _distribution(event: DpEvent, step: float) -> Any:
    """The privacy loss distribution of one event, which takes longer to make than to compose; None for rare events."""
    import dp_accounting as dp

    make = dp.pld.privacy_loss_distribution
    share, inner = 1.0, event
    if isinstance(event, dp.PoissonSampledDpEvent):
        share, inner = event.sampling_probability, event.event
    if isinstance(inner, dp.GaussianDpEvent):
        return make.from_gaussian_mechanism(
            inner.noise_multiplier, sampling_prob=share, value_discretization_interval=step
        )
    if isinstance(inner, dp.LaplaceDpEvent):
        return make.from_laplace_mechanism(
            inner.noise_multiplier, sampling_prob=share, value_discretization_interval=step
        )
    return None


def _parts(event: DpEvent) -> Base:
    """The events in a composition with their counts; Gaussians without sampling are one, which is exact."""
    import dp_accounting as dp

    counts: dict[DpEvent, int] = {}
    precision = 0.0
    for each, count in _flattened(event, 1):
        if isinstance(each, dp.GaussianDpEvent) and each.noise_multiplier > 0:
            precision += count / each.noise_multiplier**2
        else:
            counts[each] = counts.get(each, 0) + count
    whole = ((dp.GaussianDpEvent(precision**-0.5), 1),) if precision else ()
    return (*whole, *counts.items())


def _flattened(event: DpEvent, count: int) -> Iterator[tuple[DpEvent, int]]:
    import dp_accounting as dp

    if isinstance(event, dp.SelfComposedDpEvent):
        yield from _flattened(event.event, event.count * count)
    elif isinstance(event, dp.ComposedDpEvent):
        for each in event.events:
            yield from _flattened(each, count)
    elif isinstance(event, dp.PoissonSampledDpEvent) and event.sampling_probability >= 1:
        yield from _flattened(event.event, count)
    elif isinstance(event, dp.GaussianDpEvent | dp.LaplaceDpEvent) and event.noise_multiplier == 0:
        yield dp.NonPrivateDpEvent(), count
    elif not isinstance(event, dp.NoOpDpEvent) and count:
        yield event, count


@contextmanager
def _quiet() -> Iterator[None]:
    """Without absl's warnings of orders that do not converge, which are left out of a bound by the best order."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
