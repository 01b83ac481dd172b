"""Solve for the parameter of another partitioner that gives a target heterogeneity."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from data_partitioners.classes import classes_of
from data_partitioners.heterogeneity.label_counts import label_counts
from data_partitioners.heterogeneity.label_skew import DIVERGENCES, client_label_measures
from data_partitioners.heterogeneity.sizes import size_gini, size_variation
from data_partitioners.partition import Partition, Partitioner, Pool, stated_number
from data_partitioners.tunable import ONE_PARAMETER, OneParameter

SIZE_MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    "size_gini": size_gini,
    "size_variation": size_variation,
}
MEASURES = (*DIVERGENCES, *SIZE_MEASURES)
_MOST_STEPS = 25
_AROUND = tuple(1.01**step for i in range(1, 51) for step in (i, -i))


def target_heterogeneity(
    value: float, measure: str = "hellinger", by: str = "dirichlet", tolerance: float = 0.005, **fixed: Any
) -> Partitioner:
    """The partition of `by` whose measured heterogeneity is nearest to `value`.

    measure: hellinger, total_variation, jensen_shannon_bits (of the clients' label mixes from the pool's, mean
        weighted by size) or size_gini, size_variation.
    by: a partitioner with one parameter, such as dirichlet with alpha; other arguments are handed on to it.
    tolerance: the search ends when it is this near. A whole-number parameter may not come as near; then the
        nearest is taken.

    Bisection, each try with the same random numbers. Skew rises with the parameter but for the randomness of
    a draw. A value of 0 means as even as `by` can; any other that is out of reach is refused with the range.
    Measured on all clients and examples that are handed out, before any is held out. Logged:
    `heterogeneity/aim_value`, `aim_reached`, `aim_parameter`, `aim_tolerance`.
    """
    turned = _checked(value, measure, by, tolerance, fixed)

    def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        number = stated_number(num_clients, pool, "target_heterogeneity")
        even, skewed = turned.ends(pool, number)
        measured = _measure_of(measure, pool)

        def made(parameter: float) -> Partition:
            made_by = turned.make(**{turned.parameter: parameter}, **fixed)
            return made_by(pool, number, copy.deepcopy(generator))

        @cache
        def at(parameter: float) -> float:
            return measured(made(parameter))

        lowest, highest = at(even), at(skewed)
        if value and not lowest - tolerance <= value <= highest + tolerance:
            raise ValueError(
                f"partitioner: target_heterogeneity: {measure} {value} is out of reach here: {by} gives {lowest:.4g} "
                f"with {turned.parameter}={even:g} up to {highest:.4g} with {turned.parameter}={skewed:g}"
            )
        found = nearest(at, value, even, skewed, turned.whole, tolerance)
        best = made(found)
        notes = {"value": value, "reached": at(found), "parameter": found, "tolerance": tolerance}
        return best._replace(notes={**best.notes, **{f"aim_{name}": float(n) for name, n in notes.items()}})

    return partition


def nearest(
    measured: Callable[[float], float],
    value: float,
    even: float,
    skewed: float,
    whole: bool,
    tolerance: float,
) -> float:
    """The parameter tried whose measure is nearest to `value`, by bisection between `even` and `skewed`.

    measured: rises from `even` to `skewed`. whole: try whole numbers; else the scale is logarithmic. Where the
    measure jumps over `value` (a sampler that rejects draws uses other random numbers for another parameter),
    values around the jump are tried too.
    """
    tried: dict[float, float] = {}

    def error(parameter: float) -> float:
        if parameter not in tried:
            tried[parameter] = measured(parameter) - value
        return tried[parameter]

    def near_enough() -> bool:
        return min(map(abs, tried.values())) <= tolerance

    low, high = even, skewed
    if error(low) < 0 < error(high):
        for _ in range(_MOST_STEPS):
            middle = round((low + high) / 2) if whole else math.sqrt(low * high)
            if middle in (low, high) or near_enough():
                break
            low, high = (middle, high) if error(middle) < 0 else (low, middle)
        for factor in () if whole else _AROUND:
            if near_enough():
                break
            error(low * factor)
    return min(tried, key=lambda parameter: abs(tried[parameter]))


def _measure_of(measure: str, pool: Pool) -> Callable[[Partition], float]:
    """partition -> its measure."""
    if measure in SIZE_MEASURES:
        return lambda partition: SIZE_MEASURES[measure](partition.sizes)
    classes = classes_of(pool, "target_heterogeneity", bins=10)

    def divergence(partition: Partition) -> float:
        counts = label_counts(classes.codes, partition, len(classes.counts))
        sizes = counts.sum(axis=1)
        distances = client_label_measures(counts[sizes > 0])[f"label_{measure}"]
        return float(np.average(distances, weights=sizes[sizes > 0]))

    return divergence


def _checked(value: float, measure: str, by: str, tolerance: float, fixed: dict[str, Any]) -> OneParameter:
    """The checked value of `by`. Raises ValueError where an argument is invalid."""
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    if by not in ONE_PARAMETER:
        raise ValueError(f"by must be a partitioner of one parameter: {', '.join(ONE_PARAMETER)}; got {by!r}")
    if ONE_PARAMETER[by].sizes and measure not in SIZE_MEASURES:
        raise ValueError(
            f"measure must be {' or '.join(SIZE_MEASURES)} for {by}, which skews sizes alone, got {measure!r}"
        )
    most = math.inf if measure == "size_variation" else 1.0
    if not 0 <= value <= most or not math.isfinite(value):
        raise ValueError(
            f"value of {measure} must be {'>= 0' if most == math.inf else 'from 0 to 1'}, got {value}"
        )
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be > 0 and < 1, got {tolerance}")
    turned = ONE_PARAMETER[by]
    allowed = [name for name in inspect.signature(turned.make).parameters if name != turned.parameter]
    if unknown := [name for name in fixed if name not in allowed]:
        own = "measure, value, by, tolerance"
        raise ValueError(
            f"there is no argument {unknown[0]!r}; allowed: {own}, and of {by}: {', '.join(allowed)}"
        )
    _check_fixed(turned, fixed)
    return turned


def _check_fixed(turned: OneParameter, fixed: dict[str, Any]) -> None:
    """Raise ValueError where an argument that is handed on is of another type than asked for, or is refused."""
    hints = get_type_hints(turned.make)
    for name, value in fixed.items():
        choices = get_args(hints[name]) if get_origin(hints[name]) is Literal else ()
        if choices and value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
        if not choices and type(value) is not hints[name]:
            raise ValueError(f"{name} must be {hints[name].__name__}, got {value!r}")
    turned.make(**{turned.parameter: 1}, **fixed)
