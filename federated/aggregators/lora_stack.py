"""The clients' low-rank adapters beside each other, added to the frozen weights, and new adapters in every round."""

from __future__ import annotations

from federated.aggregators.aggregator import Aggregator
from federated.aggregators.lora.rules import all_beside
from federated.aggregators.mean import weighted_sum


def lora_stack() -> Aggregator:
    """For `trained: lora(...)`: the mean of the products B A goes beside the frozen weights, and adapters start anew.

    Wang et al. 2024, "FLoRA: Federated Fine-Tuning Large Language Models with Heterogeneous Low-Rank Adaptations". The
    stacked adapters of a round have rank (clients times r); they are sent to every client as in lora_residual. A is
    drawn anew in every round, and B is zero, as at first; both are sent all the same, where the authors' clients draw A
    themselves.
    """
    return Aggregator(weighted_sum, linear=True, of_products=all_beside, beside=True)
