"""A measure of pooled examples as sums over clients, from which intervals over clients are computed.

A mean over examples is a sum over clients divided by their sizes. For a measure that is no such mean, such as AUROC,
each client's part is what the measure loses without it: the jackknife's pseudo-values (Tukey 1958; Efron and Tibshirani
1993, chapter 11), which for a mean are the sums themselves.
"""

from __future__ import annotations

import numpy as np

from federated.metrics.by_client import grouped_sums
from federated.metrics.client_intervals import ClientSums
from federated.metrics.measures import Measure, Predictions
from federated.metrics.scoring import of_all, of_clients

MOST_GROUPS = 200
"""More clients are left out several at a time: each time all that are left are measured once."""


def pooled(measure: Measure, found: Predictions, sizes: np.ndarray, *, own_models: bool = False) -> float:
    """The measure of all examples, see `of_all`; NaN where it is undefined."""
    if measure.mean:
        return _of_a_mean(measure, found, sizes).mean()
    return of_all(measure, found, sizes if own_models else None)


def client_sums(
    measure: Measure, found: Predictions, sizes: np.ndarray, *, own_models: bool = False
) -> ClientSums | None:
    """Sums whose total over all examples is the measure of them; None where it is undefined.

    It is undefined too where it is without some client, as where one client has all positive examples.
    sizes: the number of examples of each client [K], which follow one another. Of more than 200 clients, groups.
    own_models: whether each client answers with its own. What is then a mean over clients has one part for each.
    """
    if measure.mean:
        return _of_a_mean(measure, found, sizes)
    if own_models and not measure.together:
        return _each_alike(of_clients(measure, found, sizes))
    return _left_out_in_turn(measure, found, sizes)


def _of_a_mean(measure: Measure, found: Predictions, sizes: np.ndarray) -> ClientSums:
    rows = found.rows_of(sizes)
    return ClientSums(grouped_sums(measure.arrays(found)[0], rows), rows)


def _each_alike(values: np.ndarray) -> ClientSums | None:
    defined = np.isfinite(values)
    return ClientSums(np.where(defined, values, 0.0), defined.astype(np.int64)) if defined.any() else None


def _left_out_in_turn(measure: Measure, found: Predictions, sizes: np.ndarray) -> ClientSums | None:
    arrays, count, sizes = measure.arrays(found), len(found), found.rows_of(sizes)
    groups = np.arange(len(sizes)) % min(len(sizes), MOST_GROUPS)
    owners, whole = np.repeat(groups, sizes), measure.of(found)
    examples = np.bincount(owners, minlength=groups.max() + 1)
    without = np.array(
        [
            measure.value(*(array[owners != group] for array in arrays))
            if count - examples[group] >= measure.least
            else np.nan
            for group in range(len(examples))
        ]
    )
    if np.isnan(whole) or np.isnan(without).any():
        return None
    sums = count * whole - (count - examples) * without
    return ClientSums(sums + examples * (whole - sums.sum() / count), examples)
