"""The pictures of who holds what, drawn once for each distinct partition."""

from __future__ import annotations

from federated.federation import Federation
from federated.heterogeneity import fingerprint_of, label_table
from federated.once_per_partition import once_per_partition
from federated.report.divergence_picture import divergence_picture
from federated.report.partition_picture import partition_picture
from federated.report.style import png


@once_per_partition
def federation_pictures(federation: Federation, largest: int | None = None) -> dict[str, bytes]:
    """PNGs by file name: `partition.png` (clients x labels), `heterogeneity.png` (sizes, divergences).

    largest: top of the axis of sizes in the second, for partitions side by side.
    """
    (counts, labels), sizes = label_table(federation), federation.sizes
    return {
        "partition.png": png(partition_picture(counts, sizes, federation.names, labels)),
        "heterogeneity.png": png(divergence_picture(fingerprint_of(federation), sizes, largest)),
    }
