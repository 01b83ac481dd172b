"""The held-out sets: the central test set, whole unseen clients, and two shares of each client's examples."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from sklearn.model_selection import train_test_split

from federated.datasets import Examples
from federated.examples.duplicates import first_copies
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.foundation.texts import listed

_CENTRAL, _UNSEEN, _OWN, TEST_OWNERS, _VALIDATION = range(5)  # keys of Purpose.HELD_OUT


def split_off_test(examples: Examples, share: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
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


def with_first_copies(examples: Examples, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def unseen_among(names: Sequence[str], unseen: int | tuple[str, ...], seed: int) -> np.ndarray:
    """A mask of the clients that never take part in training, bool [K]: those that are named, or so many at random.

    names: of all clients. Raises BadInput where one of `unseen` is not among them, or none would be left to train.
    """
    count = unseen if isinstance(unseen, int) else len(unseen)
    is_unseen = np.zeros(len(names), bool)
    if not isinstance(unseen, int):
        _check_names(names, unseen)
        is_unseen = np.isin(np.array(names, object), np.array(unseen, object))
    if count >= len(names):
        raise BadInput(f"holdout.unseen_clients: {count} of {len(names)} clients leaves none to train")
    if isinstance(unseen, int):
        numbers = generator(seed, Purpose.HELD_OUT, _UNSEEN)
        is_unseen[numbers.choice(len(names), count, replace=False)] = True
    return is_unseen


def _check_names(names: Sequence[str], unseen: Sequence[str]) -> None:
    """Raise BadInput where a client is not there, with the name that was probably meant."""
    known = set(names)
    if unknown := [name for name in unseen if name not in known]:
        close = get_close_matches(unknown[0], names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise BadInput(
            f"holdout.unseen_clients: there is no client {unknown[0]!r}; {hint}the {len(names):,} clients are: "
            f"{listed(names)}"
        )


def own_share(held: np.ndarray, share: float, seed: int, client: int) -> tuple[np.ndarray, np.ndarray]:
    """(training, own held-out) examples of one client; at least one is left to train on."""
    return _split(held, share, seed, _OWN, client)


def validation_share(
    training: np.ndarray, share: float, seed: int, client: int
) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation) examples of one client, of those that its own share left; one stays to train on."""
    return _split(training, share, seed, _VALIDATION, client)


def _split(held: np.ndarray, share: float, seed: int, key: int, client: int) -> tuple[np.ndarray, np.ndarray]:
    count = min(round(share * len(held)), max(len(held) - 1, 0))
    if count == 0:
        return held, held[:0]
    order = generator(seed, Purpose.HELD_OUT, key, client).permutation(len(held))
    return held[np.sort(order[count:])], held[np.sort(order[:count])]
