"""Canaries: clients of random directions, whose traces in the model measure how much it leaks (Andrew et al. 2023)."""

from federated.privacy.canaries.directions import alignments, directions, long_updates
from federated.privacy.canaries.estimates import Empirical, of_final_model, of_iterates, with_others_known
from federated.privacy.canaries.others_known import without_others, without_part

__all__ = [
    "Empirical",
    "alignments",
    "directions",
    "long_updates",
    "of_final_model",
    "of_iterates",
    "with_others_known",
    "without_others",
    "without_part",
]
