"""A partition read from a file: a trace, another tool's output, or an earlier run's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_partitioners.partition import Origin, Partition, Partitioner, Pool, Slices
from data_partitioners.partition_file import SUFFIXES, Listing, read_partition


def from_file(path: Path) -> Partitioner:
    """Clients as listed in a file: example (its number in the data set) and client.

    An `.npz` with arrays `example` and `client` [n] (and `names`, `data_digest` where it was written by
    `preview --save` or is the artifact `partition.npz` of a run), or a `.csv` with these two columns (and `place`, the
    client's from 0, where `preview --save` wrote it), as spreadsheets save it too. No example may be listed twice.
    Those that the file leaves out are left out. The central test set is drawn before, as always: what the file lists
    of it stays there (`heterogeneity/file_test_examples` says how many). What a composition does to the examples
    (`noise` and the like) is not in the file.
    Clients are in the order of `names` or `place`, else sorted, numbers by their value; each one's examples are in
    the order of the file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    if not path.is_file():
        raise ValueError(f"path: there is no file {path}")

    def partition(pool: Pool, num_clients: int | None, generator: np.random.Generator) -> Partition:
        listing = read_partition(path)
        origin = pool.origin or Origin(np.arange(pool.size), pool.size, "")
        _check(path, listing, origin, num_clients)
        places = np.full(origin.size, -1)
        places[origin.examples] = np.arange(pool.size)
        indices = places[listing.examples]
        order = np.argsort(listing.clients, kind="stable")
        order = order[indices[order] >= 0]
        sizes = np.bincount(listing.clients[order], minlength=len(listing.names))
        notes = {"file_test_examples": float((indices < 0).sum())}
        return Partition(Slices(indices[order], sizes), listing.names, notes=notes)

    return partition


def _check(path: Path, listing: Listing, origin: Origin, num_clients: int | None) -> None:
    """Raise ValueError where the file does not fit the data set or contradicts itself."""
    where, examples = f"partitioner: from_file: {path.name}", listing.examples
    if listing.data_digest and origin.data_digest and listing.data_digest != origin.data_digest:
        raise ValueError(
            f"{where} was made for data with the digest {listing.data_digest}, this data set has "
            f"{origin.data_digest}: its examples are others"
        )
    if not len(examples):
        raise ValueError(f"{where} lists no example")
    if bad := examples[(examples < 0) | (examples >= origin.size)][:1].tolist():
        raise ValueError(
            f"{where} lists example {bad[0]}, the data set has the examples 0 ... {origin.size - 1}"
        )
    if (times := np.bincount(examples)).max() > 1:
        raise ValueError(f"{where} lists example {int(times.argmax())} {int(times.max())} times")
    if num_clients not in (None, len(listing.names)):
        raise ValueError(
            f"clients: {num_clients} was asked for (unseen included), but {path.name} has {len(listing.names)} "
            "clients; leave `clients` out"
        )
