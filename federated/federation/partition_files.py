"""Files of a federation's partition, for reuse in another study or as an artifact of a run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from data_partitioners.partition import flat_of
from data_partitioners.partition_csv import write_csv
from data_partitioners.partition_file import SUFFIXES, write_npz
from federated.federation.federation import Federation
from federated.federation.per_partition_cache import once_per_partition
from federated.foundation.errors import BadInput


def check_partition_file(path: Path) -> None:
    """Raise BadInput where a partition cannot be saved under this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"--save {path}: the file must end in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise BadInput(f"--save {path}: this is a folder; name a file")
    if in_the_way := [parent for parent in path.parents if parent.exists() and not parent.is_dir()]:
        raise BadInput(f"--save {path}: {in_the_way[0]} is a file, not a folder")


def save_partition(path: Path, federation: Federation) -> None:
    """Write the partition, unseen clients and own held-out shares included; `from_file` reads it."""
    check_partition_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".csv":
        write_csv(path, federation.whole)
    else:
        path.write_bytes(partition_npz(federation))


@once_per_partition
def partition_npz(federation: Federation) -> bytes:
    """The same as the bytes of an NPZ file.

    Besides what `from_file` needs: `groups`, the true group of each client where the partitioner knows it, which
    `from_file` does not read, as it does not turn images or rename classes; `test`, `held_out`, `validation` and, where
    there are any, `tuning` (the participants' own), `unseen_example` and `tuning_clients_example`, int [.],
    `unseen_names` and `tuning_names`, and `partition_digest`, so that the file holds all
    that the digest stands for.
    """
    more = {
        "test": federation.test,
        "held_out": flat_of(federation.own_held_out),
        "validation": flat_of(federation.own_validation),
        "unseen_example": flat_of(federation.unseen),
        "unseen_names": np.array(federation.unseen_names, np.str_),
        "partition_digest": federation.partition_digest,
        **({} if federation.whole.groups is None else {"groups": federation.whole.groups}),
        **_choosing(federation),
    }
    buffer = io.BytesIO()
    write_npz(buffer, federation.whole, federation.data_digest, more)
    return buffer.getvalue()


def _choosing(federation: Federation) -> dict[str, np.ndarray]:
    """What is set aside by `holdout.tuning` and `holdout.tuning_clients`."""
    found = {}
    if len(own := flat_of(federation.own_tuning)):
        found["tuning"] = own
    if federation.tuning_names:
        found["tuning_clients_example"] = flat_of(federation.tuning_clients)
        found["tuning_names"] = np.array(federation.tuning_names, np.str_)
    return found
