"""Federation: the examples, their partition among clients, and the held-out sets, fixed before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial

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
from federated.examples.duplicates import copies_among, copies_of
from federated.federation.client_transforms import Changes, changes_of, ready_examples
from federated.federation.count_columns import check_label_table
from federated.federation.dealing import dealt
from federated.federation.held_out import (
    TEST_OWNERS,
    HeldOutBy,
    left_by,
    own_shares,
    rule_of,
    split_off_test,
    tuning_among,
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
    linked: how many examples of unseen or tuning clients are of a group (`holdout.by`) that other clients have as well.
    own_tuning: the examples each participating client sets aside for all that chooses (`holdout.tuning`).
    tuning_clients: the examples of each client that neither trains nor judges, and is there to choose by.
    tuning_names: one name for each of these.
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
    own_tuning: Sequence[np.ndarray] = ()
    tuning_clients: Sequence[np.ndarray] = ()
    tuning_names: tuple[str, ...] = ()

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of training examples of each participating client, int64 [K]; for reading only."""
        sizes = sizes_of(self.clients)
        sizes.flags.writeable = False
        return sizes

    @cached_property
    def partition_digest(self) -> str:
        """The content address of who holds what: training examples, held-out shares, unseen clients, test set, and
        of what clients do to it. What chooses counts where there is any, so that older addresses stay."""
        choosing = (self.own_validation, self.own_tuning, self.tuning_clients)
        validation, *more = (each if sizes_of(each).any() else () for each in choosing)
        parts = [self.clients, self.own_held_out, self.unseen, (self.test,), validation]
        parts += more if any(map(len, more)) else []
        digest = hash_of(parts).hexdigest()[:16]
        return digest if self.changes is None else self.changes.digest(digest)

    @property
    def training(self) -> np.ndarray:
        """All training examples, one client after another; for reading only."""
        return flat_of(self.clients)

    def held_out_sets(self) -> dict[str, np.ndarray]:
        """The held-out sets that are not empty: test, client (participants' own shares, pooled), unseen, which judge;
        validation, tuning (participants' shares too) and tuning_clients, which choose."""
        pooled = {
            "test": self.test,
            "client": flat_of(self.own_held_out),
            "unseen": flat_of(self.unseen),
            "validation": flat_of(self.own_validation),
            "tuning": flat_of(self.own_tuning),
            "tuning_clients": flat_of(self.tuning_clients),
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


def partition_clients(config: RunConfig, *, fitted: bool = True) -> Federation:
    """Load the data set and hand its examples out. Raises BadInput where the two do not fit together.

    Held-out first: the central test set is drawn before the partitioner sees anything, whole unseen clients
    next, then each participating client's own share and the share that chooses; preprocessing is fitted on what is
    left. Every draw depends on the seed, so arms that share it share the central test set. With a tuning part, what is
    held out is drawn once for all seeds, as far as who holds what allows: a choice is made with one seed and judged
    with another. fitted: with inputs and targets as models see them; else as they were loaded, for `ready`.
    """
    dataset = config.dataset_as_read
    files = stamp(dataset) + stamp(config.partitioner) + stamp(config.holdout.by)
    federation = _partition_clients(
        dataset, files, config.partitioner, config.clients, config.holdout, config.seed
    )
    if config.cohort.without is not None:
        federation = _without(federation, config.cohort.without)
    return ready(federation) if fitted else federation


@lru_cache(maxsize=16)
def _without(federation: Federation, names: tuple[str, ...]) -> Federation:
    left = left_by(federation, names)
    return replace(left, copies=_copies(left))


def _copies(federation: Federation) -> dict[str, int]:
    return copies_of(federation.examples.hashes, federation.held_out_sets(), federation.training)


@lru_cache(maxsize=16)
def _partition_clients(
    dataset: Choice, files: Stamp, partitioner: Choice, num_clients: int | None, holdout: Holdout, seed: int
) -> Federation:
    examples = load_examples(dataset)
    rule = rule_of(examples, holdout.by, copies_together=holdout.duplicates == "together")
    drawn, of_all = (0, len(examples.targets)) if holdout.has_tuning else (seed, None)
    test, pool = split_off_test(examples, rule, holdout.test, drawn)
    law = (dataset, files, partitioner, num_clients, holdout, seed)
    partition = dealt(law, examples, pool, partitioner, num_clients, holdout.num_set_aside, seed)
    check_label_table(len(partition.indices), len(examples.class_names or ()))
    whole = partition._replace(indices=Slices(pool[partition.flat], partition.sizes))
    held = sliced(whole.indices)
    is_unseen = unseen_among(partition.names, holdout.unseen_clients, drawn)
    is_tuning = tuning_among(partition.names, holdout.tuning_clients, is_unseen, drawn)
    taking_part = np.flatnonzero(~(is_unseen | is_tuning))
    set_aside, choosing = np.flatnonzero(is_unseen), np.flatnonzero(is_tuning)
    shares = partial(own_shares, clients=taking_part, rule=rule, seed=drawn, of_all=of_all)
    left, own = shares(held.of(taking_part), which="client", share=holdout.client)
    left, validation = shares(left, which="validation", share=holdout.validation)
    training, tuning = shares(left, which="tuning", share=holdout.tuning)
    federation = Federation(
        examples=examples,
        clients=training,
        names=_named(partition.names, taking_part),
        own_held_out=own,
        own_validation=validation,
        unseen=held.of(set_aside),
        unseen_names=_named(partition.names, set_aside),
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
        own_tuning=tuning,
        tuning_clients=held.of(choosing),
        tuning_names=_named(partition.names, choosing),
    )
    check_apart(federation)
    return replace(federation, copies=_copies(federation), linked=_linked(federation, rule))


def ready(federation: Federation) -> Federation:
    """The federation with inputs and targets as models see them, by what its clients train on."""
    as_it_is = federation.examples.fit is None and federation.changes is None
    return federation if as_it_is else _ready(federation)


@lru_cache(maxsize=2)  # each holds a copy of all inputs
def _ready(federation: Federation) -> Federation:
    """The same federation with inputs and targets as models see them."""
    examples = ready_examples(federation.examples, federation.training, federation.changes)
    return replace(federation, examples=examples)


def _linked(federation: Federation, rule: HeldOutBy) -> int:
    whole = [flat_of(part) for part in (federation.unseen, federation.tuning_clients)]
    if rule.fitted.units is None or not any(map(len, whole)):
        return 0
    own, (unseen, choosing) = np.concatenate(list(map(flat_of, _parts_of_participants(federation)))), whole
    linked = copies_among(rule.fitted.units, unseen, np.concatenate([own, choosing]))
    return linked + copies_among(rule.fitted.units, choosing, own)


def _parts_of_participants(federation: Federation) -> list[Sequence[np.ndarray]]:
    return [federation.clients, federation.own_held_out, federation.own_validation, federation.own_tuning]


def _named(names: tuple[str, ...], which: np.ndarray) -> tuple[str, ...]:
    return names if len(which) == len(names) else tuple(names[k] for k in which)


def check_apart(federation: Federation) -> None:
    """Raise RuntimeError where an example is in two of the parts, which no partition may come to."""
    by_client = (*_parts_of_participants(federation), federation.unseen, federation.tuning_clients)
    parts = [*map(flat_of, by_client), federation.test]
    taken = np.zeros(len(federation.examples.targets), bool)
    for part in parts:
        taken[part] = True
    if np.count_nonzero(taken) < sum(map(len, parts)):
        counts = np.bincount(np.concatenate(parts))
        where = f"in {counts.max()} parts of the federation, not in one"
        raise RuntimeError(f"example {int(counts.argmax())} is {where}")
