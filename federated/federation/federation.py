"""Federation: the examples, their partition among clients, and the held-out sets, fixed before training."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from threading import RLock

import numpy as np
import torch
from cachetools import LRUCache, cached
from torch import Tensor

from data_partitioners import Partition, checked
from data_partitioners.heterogeneity import label_counts
from data_partitioners.partition import Slices
from federated.choices.choice import Choice
from federated.config.clients import Holdout
from federated.config.run import RunConfig
from federated.datasets import Examples
from federated.examples.duplicates import copies_among, own_copies_together
from federated.federation.client_transforms import Changes, changes_of, ready_examples
from federated.federation.count_columns import check_label_table
from federated.federation.held_out import (
    TEST_OWNERS,
    draw_unseen,
    own_share,
    split_off_test,
    with_first_copies,
)
from federated.federation.loading import Stamp, load_examples, stamp
from federated.federation.pool import pool_of
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.machine.torch_settings import torch_kept
from federated.user_code.containment import is_own, title
from federated.user_code.permission import explained, is_fault, place_of

_SECONDS_TO_DEAL = (
    10.0  # a person's own partitioner that takes longer is not called again, to see whether it deals alike
)


@dataclass(frozen=True, eq=False)
class Federation:
    """The examples with their partition among clients. Every array of indices is int64, into `examples`.

    clients: the training examples of each participating client; some may hold none.
    names: one name a participating client.
    own_held_out: the examples each participating client keeps for evaluation.
    unseen: the examples of each client that never takes part.
    test: the central test set.
    data_digest: the content address of the examples as they were loaded, before any preprocessing.
    whole: the partition as it was made, before unseen clients and own shares were set aside.
    changes: what clients do to the inputs and targets that they hold; None where they do nothing.
    copies: for each held-out set that is not empty, how many of its examples have the same inputs, as they were loaded,
        as an example that is trained on.
    """

    examples: Examples
    clients: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    own_held_out: tuple[np.ndarray, ...]
    unseen: tuple[np.ndarray, ...]
    test: np.ndarray
    data_digest: str
    whole: Partition
    changes: Changes | None = None
    copies: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of training examples of each participating client, int64 [K]; for reading only."""
        sizes = np.array([len(held) for held in self.clients], np.int64)
        sizes.flags.writeable = False
        return sizes

    @cached_property
    def partition_digest(self) -> str:
        """The content address of who holds what: training examples, held-out shares, unseen clients, test set, and
        of what clients do to it."""
        parts = (*self.clients, *self.own_held_out, *self.unseen, self.test)
        digest = Partition(parts, ()).digest()
        return digest if self.changes is None else self.changes.digest(digest)

    @property
    def training(self) -> np.ndarray:
        """All training examples."""
        return np.concatenate(self.clients)

    def held_out_sets(self) -> dict[str, np.ndarray]:
        """The held-out sets that are not empty: test, client (participants' own shares, pooled), unseen."""
        pooled = {"test": self.test, "client": _joined(self.own_held_out), "unseen": _joined(self.unseen)}
        return {name: indices for name, indices in pooled.items() if len(indices)}

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs [N, ...] and targets of all examples; on the CPU without a copy."""
        inputs, targets = torch.from_numpy(self.examples.inputs), torch.from_numpy(self.examples.targets)
        return inputs.to(device), targets.to(device)

    def label_counts(self) -> np.ndarray | None:
        """Training examples of each class at each participating client, int64 [K, classes]; None for regression."""
        if self.examples.classes is None:
            return None
        return label_counts(
            self.examples.targets, Partition(self.clients, self.names), len(self.examples.classes)
        )


_SOLVED: LRUCache[Hashable, Partition] = LRUCache(256 * 10**6, getsizeof=lambda found: found.flat.nbytes)
"""Partitions by all that they depend on, 256 MB of them; of whole federations, with their examples, 16 are kept."""


def partition_clients(config: RunConfig) -> Federation:
    """Load the data set and hand its examples out. Raises BadInput where the two do not fit together.

    Held-out first: the central test set is drawn before the partitioner sees anything, whole unseen clients
    next, each participating client's own share last; preprocessing is fitted on what is left. Every draw
    depends on the seed, so arms that share it share the central test set.
    """
    files = stamp(config.dataset) + stamp(config.partitioner)
    federation = _partition_clients(
        config.dataset, files, config.partitioner, config.clients, config.holdout, config.seed
    )
    return (
        federation if federation.examples.fit is None and federation.changes is None else _ready(federation)
    )


@lru_cache(maxsize=16)
def _partition_clients(
    dataset: Choice, files: Stamp, partitioner: Choice, num_clients: int | None, holdout: Holdout, seed: int
) -> Federation:
    examples = load_examples(dataset)
    together = holdout.duplicates == "together"
    test, pool = split_off_test(examples, holdout.test, seed)
    if together:
        test, pool = with_first_copies(examples, test)
    law = (dataset, files, partitioner, num_clients, holdout, seed)
    partition = _partition(law, examples, pool, partitioner, num_clients, holdout.unseen_clients, seed)
    check_label_table(len(partition.indices), len(examples.classes or ()))
    whole = partition._replace(indices=Slices(pool[partition.flat], partition.sizes))
    held = list(whole.indices)
    is_unseen = draw_unseen(len(held), holdout.unseen_clients, seed)
    kept = [own_share(held[k], holdout.client, seed, int(k)) for k in np.flatnonzero(~is_unseen)]
    kept = own_copies_together(kept, examples.contents) if together else kept
    federation = Federation(
        examples=examples,
        clients=tuple(training for training, _ in kept),
        names=tuple(partition.names[k] for k in np.flatnonzero(~is_unseen)),
        own_held_out=tuple(own for _, own in kept),
        unseen=tuple(held[k] for k in np.flatnonzero(is_unseen)),
        test=test,
        data_digest=examples.digest,
        whole=whole,
        changes=changes_of(
            partition.transforms,
            held,
            test,
            len(examples.targets),
            generator(seed, Purpose.HELD_OUT, TEST_OWNERS),
        ),
    )
    check_apart(federation)
    copies = {
        name: copies_among(examples.contents, indices, federation.training)
        for name, indices in federation.held_out_sets().items()
    }
    return replace(federation, copies=copies)


@cached(_SOLVED, key=lambda law, *arguments: law, lock=RLock())
def _partition(
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


@lru_cache(maxsize=2)  # each holds a copy of all inputs
def _ready(federation: Federation) -> Federation:
    """The same federation with inputs and targets as models see them."""
    examples = ready_examples(federation.examples, federation.training, federation.changes)
    return replace(federation, examples=examples)


def check_apart(federation: Federation) -> None:
    """Raise RuntimeError where an example is in two of the parts, which no partition may come to."""
    parts = (*federation.clients, *federation.own_held_out, *federation.unseen, federation.test)
    counts = np.bincount(np.concatenate(parts), minlength=len(federation.examples.targets))
    if counts.max() > 1:
        raise RuntimeError(
            f"example {int(counts.argmax())} is in {counts.max()} parts of the federation, not in one"
        )


def _joined(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
