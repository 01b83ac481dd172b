"""Every payload of a run as a file, for inspection or for decoding elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from federated.config.run import RunConfig
from federated.wire.ledger import Parcel


def dump(config: RunConfig, done: int, way: str, clients: Sequence[int], parcels: Sequence[Parcel]) -> None:
    """Write the parcels of the round after `done` rounds to `compression.dump`, where the config states that folder.

    Files `<run key>/round-00001/<way>-<client>-<number>-<part>.bin`; the number is the payload's place in its parcel. A
    round that is run again writes the same files again.
    """
    if config.compression.dump is None:
        return
    folder = dump_folder(config) / f"round-{done + 1:05d}"
    folder.mkdir(parents=True, exist_ok=True)
    for client, parcel in zip(clients, parcels, strict=True):
        for number, (part, payload) in enumerate(parcel):
            (folder / f"{way}-{client}-{number}-{part}.bin").write_bytes(payload)


def dump_folder(config: RunConfig) -> Path:
    """The folder of a run's payloads."""
    assert config.compression.dump is not None
    return config.compression.dump / config.run_key()
