"""The partition of the pool by a run's partitioner, tried and remembered."""

from __future__ import annotations

import time
from collections.abc import Hashable
from threading import RLock

import numpy as np
from cachetools import LRUCache, cached

from data_partitioners import Partition, checked
from federated.choices.choice import Choice
from federated.datasets import Examples
from federated.federation.pool import pool_of
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.machine.torch_settings import torch_kept
from federated.user_code.containment import is_own, title
from federated.user_code.permission import explained, is_fault, place_of

_SECONDS_TO_DEAL = (
    10.0  # a person's own partitioner that takes longer is not called again, to see whether it deals alike
)


_SOLVED: LRUCache[Hashable, Partition] = LRUCache(256 * 10**6, getsizeof=lambda found: found.flat.nbytes)
"""Partitions by all that they depend on, 256 MB of them; of whole federations, with their examples, 16 are kept."""


@cached(_SOLVED, key=lambda law, *arguments: law, lock=RLock())
def dealt(
    law: Hashable,
    examples: Examples,
    pool: np.ndarray,
    partitioner: Choice,
    num_clients: int | None,
    num_unseen: int,
    seed: int,
) -> Partition:
    """The partition of the pool among participating and unseen clients together.

    law: all that it depends on. A study asks for each of its partitions several times: to check, forecast and run.
    """
    wanted = None if num_clients is None else num_clients + num_unseen
    failed = OwnCodeFailed if is_own(partitioner) else BadInput
    try:
        started = time.perf_counter()
        partition = _dealt(examples, pool, partitioner, wanted, seed)
        tried = failed is OwnCodeFailed and time.perf_counter() - started < _SECONDS_TO_DEAL
        if tried and _dealt(examples, pool, partitioner, wanted, seed).digest() != partition.digest():
            raise ValueError(
                f"partitioner: {title(partitioner)} deals otherwise each time it is called with the same seed; draw "
                "from the generator that it is given"
            )
        if wanted not in (None, len(partition.indices)):
            made = len(partition.indices)
            raise ValueError(
                f"clients: {wanted} were asked for (unseen included), {partitioner.label()} made {made}"
            )
        return partition
    except ValueError as error:
        raise failed(str(error)) from error


def _dealt(
    examples: Examples, pool: np.ndarray, partitioner: Choice, num_clients: int | None, seed: int
) -> Partition:
    """Raises ValueError where what the partitioner returns is no partition, or it fails."""
    name, pooled, numbers = title(partitioner), pool_of(examples, pool), generator(seed, Purpose.PARTITION)
    with torch_kept(f"partitioner: {name}"):
        try:
            found = partitioner.build()(pooled, num_clients, numbers)
        except BaseException as error:
            ours = isinstance(error, ValueError) and place_of(error) is None  # which names itself
            if ours or not is_fault(error):
                raise
            raise ValueError(f"partitioner: {name}: {explained(error)}") from error
    return checked(found, len(pool), name)
