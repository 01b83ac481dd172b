"""The held-out sets: the central test set, whole unseen clients, and two shares of each client's examples."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal, NamedTuple

import numpy as np

from data_partitioners.partition import Slices, sliced
from federated.choices.choice import Choice
from federated.datasets import Examples
from federated.examples.duplicates import own_copies_together, with_copies
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Generators, Purpose, generator
from federated.foundation.texts import listed
from federated.holdouts import FittedRule, SetName
from federated.user_code.containment import is_own

_CENTRAL, _UNSEEN, _OWN, TEST_OWNERS, _VALIDATION = range(5)  # keys of Purpose.HELD_OUT


class HeldOutBy(NamedTuple):
    """The rule of a run, for its data set. copies: of examples that stay together; None where each may be alone.

    name: as the study states the rule. stated: it names the test examples itself.
    """

    name: str
    fitted: FittedRule
    stated: frozenset[SetName]
    is_random: bool
    copies: np.ndarray | None


def rule_of(examples: Examples, by: Choice, *, copies_together: bool) -> HeldOutBy:
    """The rule of a run, for its data set. Raises BadInput where the data set does not have what it needs."""
    failed = OwnCodeFailed if is_own(by) else BadInput
    copies = examples.contents if copies_together else None
    try:
        rule = by.build()
        fitted = rule.fitted(examples, copies)
    except BadInput:
        raise
    except ValueError as error:
        raise failed(f"holdout.by: {by.name}: {error}") from error
    together = copies if fitted.units is None else fitted.units
    return HeldOutBy(by.label(), fitted, rule.states, rule.is_random, together)


def split_off_test(
    examples: Examples, rule: HeldOutBy, share: float | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(central test set, pool of the others), both in rising order; at random, stratified by class."""
    if share is None and examples.test is not None and "test" not in rule.stated:
        if not rule.is_random:
            raise BadInput(
                f"holdout.by: {rule.name} would draw the central test set anew, and {examples.name} has a test split "
                "of its own; state holdout.test, such as 0.2, to draw it all the same"
            )
        is_test = examples.test
    else:
        everything = np.arange(len(examples.targets))
        numbers = generator(seed, Purpose.HELD_OUT, _CENTRAL)
        try:
            is_test = rule.fitted.split(everything, share or 0.2, "test", numbers)
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(str(error)) from error
    if rule.copies is not None:
        is_test = with_copies(is_test, rule.copies, any_held=not rule.is_random)
    _check_both(rule, is_test)
    _check_all_classes(examples, rule, ~is_test)
    return np.flatnonzero(is_test), np.flatnonzero(~is_test)


def _check_both(rule: HeldOutBy, is_test: np.ndarray) -> None:
    """Raise BadInput where the central test set is empty or everything."""
    together = "" if rule.copies is None else " once copies are kept together"
    if not is_test.any():
        raise BadInput(f"holdout.by: {rule.name} leaves no example in the central test set{together}")
    if is_test.all():
        raise BadInput(f"holdout.by: {rule.name} leaves no example to train on{together}")


def _check_all_classes(examples: Examples, rule: HeldOutBy, in_pool: np.ndarray) -> None:
    if examples.classes is not None and len(
        missing := np.setdiff1d(examples.targets, examples.targets[in_pool])
    ):
        why = "" if rule.is_random else f"; holdout.by: {rule.name} holds out all of them"
        raise BadInput(f"dataset: the class {examples.classes[missing[0]]!r} has no training examples{why}")


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
        raise BadInput(f"holdout.unseen_clients: {no_such_client(unknown[0], names)}")


def no_such_client(name: str, names: Sequence[str]) -> str:
    """The sentence on a client that is not there: what was probably meant, and who is there."""
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no client {name!r}; {hint}the {len(names):,} clients are: {listed(names)}"


def own_shares(
    held: Slices,
    clients: np.ndarray,
    rule: HeldOutBy,
    which: Literal["client", "validation"],
    share: float,
    seed: int,
) -> tuple[Slices, Slices]:
    """(what each client trains on, what it holds out of this). A share leaves at least one example to train on.

    clients: the number of each, int64 [K]. Copies are on one side where they are to be.
    """
    if not (share or which in rule.stated):
        return held, Slices(held.flat[:0], np.zeros(len(held), np.int64))
    stream = {"client": _OWN, "validation": _VALIDATION}[which]
    numbers = Generators(seed, Purpose.HELD_OUT, stream, clients.tolist())
    kept = [_split(mine, rule, which, share, own) for mine, own in zip(held, numbers, strict=True)]
    if rule.copies is not None:
        kept = own_copies_together(kept, rule.copies, any_held=not rule.is_random)
    return sliced([training for training, _ in kept]), sliced([own for _, own in kept])


def _split(
    held: np.ndarray, rule: HeldOutBy, which: SetName, share: float, numbers: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if not len(held):
        return held, held
    mask = rule.fitted.split(held, share, which, numbers)
    return held[~mask], held[mask]
