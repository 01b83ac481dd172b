"""One door: before any run starts, a person's own code is tried in all ways in which the run will use it."""

from federated.trials.of_run import Products, flat_model, tried_model, try_products

__all__ = ["Products", "flat_model", "tried_model", "try_products"]
