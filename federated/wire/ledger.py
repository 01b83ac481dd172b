"""The ledger: the bytes of the actual payloads, by part and by client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from federated.compressors import HEADER_BYTES

Parcel = Sequence[tuple[str, bytes]]
"""The payloads that one client sends or receives in a round: (part, payload), such as ("update", ...)."""
Traffic = dict[str, np.ndarray]
"""Part -> bytes of each client, int64 [C]. Headers of payloads are the part "metadata"."""


def weighed(parcels: Sequence[Parcel]) -> Traffic:
    """The bytes of each client's parcel by part; the headers of payloads are counted separately."""
    parts = dict.fromkeys(part for parcel in parcels for part, _ in parcel)
    # Lists, because changing an item of a numpy array takes 100 ns.
    sizes = {part: [0] * len(parcels) for part in (*parts, "metadata")}
    for client, parcel in enumerate(parcels):
        for part, payload in parcel:
            sizes[part][client] += len(payload) - HEADER_BYTES
            sizes["metadata"][client] += HEADER_BYTES
    return {part: np.array(each, np.int64) for part, each in sizes.items()}


def joined(shards: Sequence[Traffic]) -> Traffic:
    """The traffic of a whole cohort, joined from that of its shards."""
    if not shards:
        return weighed([])
    parts = dict.fromkeys(part for shard in shards for part in shard)
    sizes = [len(shard["metadata"]) for shard in shards]
    return {
        part: np.concatenate(
            [shard.get(part, np.zeros(size, np.int64)) for shard, size in zip(shards, sizes, strict=True)]
        )
        for part in parts
    }


def total_bytes(traffic: Traffic) -> int:
    """The bytes of all clients together."""
    return sum(int(part.sum()) for part in traffic.values())


def ledger_metrics(
    way: str, traffic: Traffic, num_parameters: int, vectors: int | None = None
) -> Mapping[str, float]:
    """The metrics `communication/<way>_...` of a round; way is uplink or downlink.

    Where no client sends or receives anything there is the sum alone. num_parameters: length of the whole
    vector [P]; its size as 32-bit floats is the reference of the ratio. vectors: how many were sent, as clients that
    a protocol loses on the way send messages and no update; None: one a client.
    """
    each = np.sum(list(traffic.values()), axis=0)
    if not each.size or not each.any():
        return {f"communication/{way}_bytes": 0}
    parts = {f"communication/{way}/{part}_bytes": int(sizes.sum()) for part, sizes in traffic.items()}
    return {
        f"communication/{way}_bytes": int(each.sum()),
        f"communication/{way}_client_bytes_mean": float(each.mean()),
        f"communication/{way}_client_bytes_max": int(each.max()),
        f"communication/{way}_ratio": 4
        * num_parameters
        * (each.size if vectors is None else vectors)
        / int(each.sum()),
        **parts,
    }
