"""Aggregators by name: rules that combine a cohort's updates into one vector. The registry is the table of contents."""

from collections.abc import Callable

from federated.aggregators.aggregator import Aggregator
from federated.aggregators.mean import mean, weighted_sum
from federated.aggregators.median import median

AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean": mean,
    "median": median,
}

__all__ = ["AGGREGATORS", "Aggregator", "weighted_sum"]
