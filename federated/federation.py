"""Federation: the examples, who holds which, and what is held out - before any training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from data_partitioners import Partition, checked
from data_partitioners.heterogeneity import label_counts
from data_partitioners.partition import Slices
from federated.changes import Changes, changes_of, ready_examples
from federated.choice import Choice
from federated.config import Holdout, RunConfig
from federated.copies import copies_among, first_copies, own_copies_together
from federated.datasets import Examples
from federated.errors import BadInput
from federated.loading import Stamp, load_examples, stamp
from federated.own_code import explained
from federated.pool import pool_of
from federated.randomness import Purpose, generator

_CENTRAL, _UNSEEN, _OWN, _TEST_OWNERS = range(4)  # keys of Purpose.HELD_OUT


@dataclass(frozen=True, eq=False)
class Federation:
    """Who holds what. Every array of indices is int64, into `examples`.

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

    @property
    def sizes(self) -> np.ndarray:
        """Number of training examples of each participating client, int64 [K]."""
        return np.array([len(held) for held in self.clients], np.int64)

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
    test, pool = _split_off_test(examples, holdout.test, seed)
    if together:
        test, pool = _with_first_copies(examples, test)
    partition = _partition(examples, pool, partitioner, num_clients, holdout.unseen_clients, seed)
    whole = partition._replace(indices=Slices(pool[partition.flat], partition.sizes))
    held = list(whole.indices)
    is_unseen = _draw_unseen(len(held), holdout.unseen_clients, seed)
    kept = [_own_share(held[k], holdout.client, seed, int(k)) for k in np.flatnonzero(~is_unseen)]
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
            generator(seed, Purpose.HELD_OUT, _TEST_OWNERS),
        ),
    )
    check_apart(federation)
    copies = {
        name: copies_among(examples.contents, indices, federation.training)
        for name, indices in federation.held_out_sets().items()
    }
    return replace(federation, copies=copies)


def _split_off_test(examples: Examples, share: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(central test set, pool of the others), both in rising order; stratified by class."""
    everything = np.arange(len(examples.targets))
    if share is None and examples.test is not None:
        test, pool = everything[examples.test], everything[~examples.test]
    else:
        _check_two_of_each(examples)
        numbers = generator(seed, Purpose.HELD_OUT, _CENTRAL)
        try:
            pool, test = train_test_split(
                everything,
                test_size=share or 0.2,
                stratify=None if examples.classes is None else examples.targets,
                random_state=int(numbers.integers(2**32)),
            )
        except ValueError as error:
            raise BadInput(f"holdout.test: {share or 0.2} of {len(everything)} examples: {error}") from error
    _check_all_classes(examples, pool)
    return np.sort(test), np.sort(pool)


def _with_first_copies(examples: Examples, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(central test set, pool), all copies of an example where the first of them is."""
    is_test = np.zeros(len(examples.targets), bool)
    is_test[test] = True
    is_test = is_test[first_copies(examples.contents)]
    if not is_test.any():
        raise BadInput(
            "holdout.duplicates: together leaves no example in the central test set; all are copies"
        )
    pool = np.flatnonzero(~is_test)
    _check_all_classes(examples, pool)
    return np.flatnonzero(is_test), pool


def _check_all_classes(examples: Examples, pool: np.ndarray) -> None:
    if examples.classes is not None and len(
        missing := np.setdiff1d(examples.targets, examples.targets[pool])
    ):
        raise BadInput(f"dataset: the class {examples.classes[missing[0]]!r} has no training examples")


def _check_two_of_each(examples: Examples) -> None:
    if examples.classes is not None and len(single := np.flatnonzero(np.bincount(examples.targets) < 2)):
        raise BadInput(
            f"dataset: the class {examples.classes[single[0]]!r} has 1 example; at least 2 are needed, "
            "one to train on and one to test on"
        )


def _partition(
    examples: Examples,
    pool: np.ndarray,
    partitioner: Choice,
    num_clients: int | None,
    num_unseen: int,
    seed: int,
) -> Partition:
    """The partition of the pool among participating and unseen clients together."""
    wanted = None if num_clients is None else num_clients + num_unseen
    try:
        partition = partitioner.build()(pool_of(examples, pool), wanted, generator(seed, Purpose.PARTITION))
        partition = checked(partition, len(pool), partitioner.label())
        if wanted not in (None, len(partition.indices)):
            made = len(partition.indices)
            raise ValueError(
                f"clients: {wanted} were asked for (unseen included), {partitioner.label()} made {made}"
            )
        return partition
    except ValueError as error:
        raise BadInput(str(error)) from error
    except Exception as error:
        raise BadInput(f"partitioner: {partitioner.label()}: {explained(error)}") from error


def _draw_unseen(num_clients: int, num_unseen: int, seed: int) -> np.ndarray:
    """Whether each client never takes part, bool [K]."""
    if num_unseen >= num_clients:
        raise BadInput(f"holdout.unseen_clients: {num_unseen} of {num_clients} clients leaves none to train")
    is_unseen = np.zeros(num_clients, bool)
    is_unseen[generator(seed, Purpose.HELD_OUT, _UNSEEN).choice(num_clients, num_unseen, replace=False)] = (
        True
    )
    return is_unseen


def _own_share(held: np.ndarray, share: float, seed: int, client: int) -> tuple[np.ndarray, np.ndarray]:
    """(training, own held-out) examples of one client; at least one is left to train on."""
    num_own = min(round(share * len(held)), max(len(held) - 1, 0))
    if num_own == 0:
        return held, held[:0]
    order = generator(seed, Purpose.HELD_OUT, _OWN, client).permutation(len(held))
    return held[np.sort(order[num_own:])], held[np.sort(order[:num_own])]


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
