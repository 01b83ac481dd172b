"""Trials of user code, before any run starts, in every way in which the run will use it."""

from federated.trials.of_run import flat_model, tried_loss, tried_model, try_measures, try_parts
from federated.trials.parts import Parts

__all__ = ["Parts", "flat_model", "tried_loss", "tried_model", "try_measures", "try_parts"]
