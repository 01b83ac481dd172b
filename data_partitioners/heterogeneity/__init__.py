"""The heterogeneity of the clients: measures of the partition actually drawn, and of random ones."""

from data_partitioners.heterogeneity.fingerprint import (
    Fingerprint,
    Measured,
    joined,
    label_fingerprint,
    shift_fingerprint,
    size_fingerprint,
)
from data_partitioners.heterogeneity.label_counts import binned_targets, label_counts
from data_partitioners.heterogeneity.sample import sampled
from data_partitioners.heterogeneity.shift import projected

__all__ = [
    "Fingerprint",
    "Measured",
    "binned_targets",
    "joined",
    "label_counts",
    "label_fingerprint",
    "projected",
    "sampled",
    "shift_fingerprint",
    "size_fingerprint",
]
