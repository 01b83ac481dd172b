"""The mean product of low-rank adapters, cut back to their rank."""

from __future__ import annotations

from federated.aggregators.aggregator import Aggregator
from federated.aggregators.lora.rules import cut_to_rank
from federated.aggregators.mean import weighted_sum


def lora_svd() -> Aggregator:
    """For `trained: lora(...)`: the mean of the clients' products B A, by SVD the nearest of the adapter's rank.

    Bai et al. 2024, "Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client Resources"
    (FlexLoRA). What the rank cannot hold is lost: `train/lora_discarded` is its share of the squared norm. Singular
    values are shared by A and B alike, so that the first rows of A are the best ones for clients of smaller ranks. All
    other parameters are averaged. As much travels as with mean.
    """
    return Aggregator(weighted_sum, linear=True, of_products=cut_to_rank)
