"""Trials of user code, before any run starts, in every way in which the run will use it."""

from federated.trials.of_run import Products, flat_model, tried_model, try_products

__all__ = ["Products", "flat_model", "tried_model", "try_products"]
