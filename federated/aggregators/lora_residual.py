"""The mean factors of low-rank adapters, and beside the frozen weights what their product lacks of the mean product."""

from __future__ import annotations

from federated.aggregators.aggregator import Aggregator
from federated.aggregators.lora.rules import rest_beside
from federated.aggregators.mean import weighted_sum


def lora_residual() -> Aggregator:
    """For `trained: lora(...)`: A and B are averaged, and the error of that is added beside the frozen weights: exact.

    Singhal et al. 2025, "FedEx-LoRA: Exact Aggregation for Federated and Efficient Fine-Tuning of Large Language
    Models". The residual of a round has rank (clients - 1) r at most; its factors, or the matrix where that is smaller,
    are sent to every client as 32-bit floats, the part `residual` of the downlink. A client that missed rounds gets the
    residuals of all of them, or their sum where that is smaller. The authors send k r (d + k') numbers for k clients.
    """
    return Aggregator(weighted_sum, linear=True, of_products=rest_beside, beside=True)
