"""Aggregators by name: rules that combine a cohort's updates into one vector. The registry is the table of contents."""

from collections.abc import Callable

from federated.aggregators.aggregator import Aggregator
from federated.aggregators.lora_residual import lora_residual
from federated.aggregators.lora_stack import lora_stack
from federated.aggregators.lora_svd import lora_svd
from federated.aggregators.mean import mean, weighted_sum
from federated.aggregators.median import median

AGGREGATORS: dict[str, Callable[..., Aggregator]] = {
    "mean": mean,
    "median": median,
    "lora_svd": lora_svd,
    "lora_residual": lora_residual,
    "lora_stack": lora_stack,
}

__all__ = ["AGGREGATORS", "Aggregator", "weighted_sum"]
