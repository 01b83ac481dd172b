"""Sparse ternary compression: the largest coordinates, and of those only signs."""

from __future__ import annotations

from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.top_k import top_k_reduction
from federated.compressors.values.sign import sign_values


def stc(fraction: float) -> Compressor:
    """Send the `fraction` of coordinates that is largest in magnitude, each as a sign times their mean magnitude.

    Sattler et al. 2020, "Robust and communication-efficient federated learning from non-iid data", algorithm 1,
    with the Golomb code of positions it proposes. It is `chain(top_k(fraction), sign)` under its own name. Biased:
    the paper, too, puts `error_feedback` around it.
    """
    return pipeline(Parts(reduction=top_k_reduction(fraction), values=sign_values("mean")))
