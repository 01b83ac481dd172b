"""Federation: the examples, their partition among clients, and the held-out sets, fixed before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from data_partitioners import Partition
from data_partitioners.heterogeneity import label_counts
from data_partitioners.partition import Slices, flat_of, hash_of, sizes_of, sliced
from federated.choices.choice import Choice
from federated.config.clients import Holdout
from federated.config.run import RunConfig
from federated.datasets import Examples
from federated.examples.duplicates import copies_among
from federated.federation.client_transforms import Changes, changes_of, ready_examples
from federated.federation.count_columns import check_label_table
from federated.federation.dealing import dealt
from federated.federation.held_out import (
    TEST_OWNERS,
    HeldOutBy,
    own_shares,
    rule_of,
    split_off_test,
    unseen_among,
)
from federated.federation.loading import Stamp, load_examples, stamp
from federated.foundation.randomness import Purpose, generator


@dataclass(frozen=True, eq=False)
class Federation:
    """The examples with their partition among clients. Every array of indices is int64, into `examples`.

    Nothing here is a copy of an example, and what a million clients hold is a few arrays (`Slices`).

    clients: the training examples of each participating client; some may hold none.
    names: one name a participating client.
    own_held_out: the examples each participating client keeps for evaluation: they judge.
    own_validation: the examples each participating client sets aside for choosing (a threshold, the round at which to
        stop): they never judge.
    unseen: the examples of each client that never takes part.
    unseen_names: one name a client that never takes part.
    test: the central test set.
    data_digest: the content address of the examples as they were loaded, before any preprocessing.
    whole: the partition as it was made, before unseen clients and own shares were set aside.
    changes: what clients do to the inputs and targets that they hold; None where they do nothing.
    copies: for each held-out set that is not empty, how many of its examples have the same inputs, as they were loaded,
        as an example that is trained on.
    groups: the true group of each participating client, int64 [K]; None where the partitioner knows of none.
    linked: how many examples of unseen clients are of a group (`holdout.by`) that participating clients have as well.
    """

    examples: Examples
    clients: Sequence[np.ndarray]
    names: tuple[str, ...]
    own_held_out: Sequence[np.ndarray]
    own_validation: Sequence[np.ndarray]
    unseen: Sequence[np.ndarray]
    unseen_names: tuple[str, ...]
    test: np.ndarray
    data_digest: str
    whole: Partition
    changes: Changes | None = None
    copies: Mapping[str, int] = field(default_factory=dict)
    linked: int = 0
    groups: np.ndarray | None = None

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of training examples of each participating client, int64 [K]; for reading only."""
        sizes = sizes_of(self.clients)
        sizes.flags.writeable = False
        return sizes

    @cached_property
    def partition_digest(self) -> str:
        """The content address of who holds what: training examples, held-out shares, unseen clients, test set, and
        of what clients do to it. Validation counts where there is any, so that older addresses stay."""
        validation = self.own_validation if sizes_of(self.own_validation).any() else ()
        parts = (self.clients, self.own_held_out, self.unseen, (self.test,), validation)
        digest = hash_of(parts).hexdigest()[:16]
        return digest if self.changes is None else self.changes.digest(digest)

    @property
    def training(self) -> np.ndarray:
        """All training examples, one client after another; for reading only."""
        return flat_of(self.clients)

    def held_out_sets(self) -> dict[str, np.ndarray]:
        """The held-out sets that are not empty: test, client (participants' own shares, pooled), unseen, validation."""
        pooled = {
            "test": self.test,
            "client": flat_of(self.own_held_out),
            "unseen": flat_of(self.unseen),
            "validation": flat_of(self.own_validation),
        }
        return {name: indices for name, indices in pooled.items() if len(indices)}

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs [N, ...] and targets of all examples; on the CPU without a copy."""
        inputs, targets = torch.from_numpy(self.examples.inputs), torch.from_numpy(self.examples.targets)
        return inputs.to(device), targets.to(device)

    def label_counts(self) -> np.ndarray | None:
        """Training examples (of sequences, positions) of each class at each participating client, int64 [K, classes].

        None for regression.
        """
        names = self.examples.class_names
        if names is None:
            return None
        if self.examples.classes is None:
            held = (self.examples.labels_of(each) for each in self.clients)
            return np.stack([np.bincount(labels, minlength=len(names)) for labels in held])
        return label_counts(self.examples.targets, Partition(self.clients, self.names), len(names))


def partition_clients(config: RunConfig) -> Federation:
    """Load the data set and hand its examples out. Raises BadInput where the two do not fit together.

    Held-out first: the central test set is drawn before the partitioner sees anything, whole unseen clients
    next, then each participating client's own share and its validation share; preprocessing is fitted on what is
    left. Every draw
    depends on the seed, so arms that share it share the central test set.
    """
    dataset = config.dataset_as_read
    files = stamp(dataset) + stamp(config.partitioner) + stamp(config.holdout.by)
    federation = _partition_clients(
        dataset, files, config.partitioner, config.clients, config.holdout, config.seed
    )
    return (
        federation if federation.examples.fit is None and federation.changes is None else _ready(federation)
    )


@lru_cache(maxsize=16)
def _partition_clients(
    dataset: Choice, files: Stamp, partitioner: Choice, num_clients: int | None, holdout: Holdout, seed: int
) -> Federation:
    examples = load_examples(dataset)
    rule = rule_of(examples, holdout.by, copies_together=holdout.duplicates == "together")
    test, pool = split_off_test(examples, rule, holdout.test, seed)
    law = (dataset, files, partitioner, num_clients, holdout, seed)
    partition = dealt(law, examples, pool, partitioner, num_clients, holdout.num_unseen, seed)
    check_label_table(len(partition.indices), len(examples.class_names or ()))
    whole = partition._replace(indices=Slices(pool[partition.flat], partition.sizes))
    held = sliced(whole.indices)
    is_unseen = unseen_among(partition.names, holdout.unseen_clients, seed)
    taking_part, set_aside = np.flatnonzero(~is_unseen), np.flatnonzero(is_unseen)
    left, own = own_shares(held.of(taking_part), taking_part, rule, "client", holdout.client, seed)
    training, validation = own_shares(left, taking_part, rule, "validation", holdout.validation, seed)
    federation = Federation(
        examples=examples,
        clients=training,
        names=partition.names if not len(set_aside) else tuple(partition.names[k] for k in taking_part),
        own_held_out=own,
        own_validation=validation,
        unseen=held.of(set_aside),
        unseen_names=tuple(partition.names[k] for k in set_aside),
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
        groups=None if partition.groups is None else partition.groups[taking_part],
    )
    check_apart(federation)
    copies = {
        name: copies_among(examples.hashes, indices, federation.training)
        for name, indices in federation.held_out_sets().items()
    }
    return replace(federation, copies=copies, linked=_linked(federation, rule))


@lru_cache(maxsize=2)  # each holds a copy of all inputs
def _ready(federation: Federation) -> Federation:
    """The same federation with inputs and targets as models see them."""
    examples = ready_examples(federation.examples, federation.training, federation.changes)
    return replace(federation, examples=examples)


def _linked(federation: Federation, rule: HeldOutBy) -> int:
    if rule.fitted.units is None or not federation.unseen:
        return 0
    own = [flat_of(part) for part in (federation.clients, federation.own_held_out, federation.own_validation)]
    return copies_among(rule.fitted.units, flat_of(federation.unseen), np.concatenate(own))


def check_apart(federation: Federation) -> None:
    """Raise RuntimeError where an example is in two of the parts, which no partition may come to."""
    by_client = (federation.clients, federation.own_held_out, federation.own_validation, federation.unseen)
    parts = [*map(flat_of, by_client), federation.test]
    taken = np.zeros(len(federation.examples.targets), bool)
    for part in parts:
        taken[part] = True
    if np.count_nonzero(taken) == sum(map(len, parts)):
        return
    counts = np.bincount(np.concatenate(parts))
    raise RuntimeError(
        f"example {int(counts.argmax())} is in {counts.max()} parts of the federation, not in one"
    )
