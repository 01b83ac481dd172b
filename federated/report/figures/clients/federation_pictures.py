"""Pictures of partitions, drawn once for each distinct partition."""

from __future__ import annotations

from federated.federation.federation import Federation
from federated.federation.fingerprint import fingerprint_of, label_table
from federated.federation.per_partition_cache import once_per_partition
from federated.report.figures.clients.divergence_picture import divergence_picture
from federated.report.figures.clients.partition_picture import partition_picture
from federated.report.figures.style import png


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
