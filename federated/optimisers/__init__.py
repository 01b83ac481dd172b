"""Optimisers of local training by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.optimisers.adam import adam, adamw
from federated.optimisers.optimiser import Optimiser
from federated.optimisers.sgd import sgd

OPTIMISERS: dict[str, Callable[..., Optimiser]] = {"sgd": sgd, "adam": adam, "adamw": adamw}

__all__ = ["OPTIMISERS", "Optimiser"]
