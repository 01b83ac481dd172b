"""The held-out sets: the central test set, whole clients that never train, and shares of each client's examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from data_partitioners.partition import Slices, sliced
from federated.choices.choice import Choice
from federated.datasets import Examples
from federated.examples.duplicates import own_copies_together, with_copies
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Generators, Purpose, generator
from federated.foundation.texts import listed, meant
from federated.holdouts import FittedRule, SetName
from federated.user_code.containment import is_own

if TYPE_CHECKING:
    from federated.federation.federation import Federation

_CENTRAL, _UNSEEN, _OWN, TEST_OWNERS, _VALIDATION, _TUNING, _TUNING_CLIENTS = range(
    7
)  # keys of Purpose.HELD_OUT


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
    """A mask of the clients that never take part in training and judge, bool [K]: those named, or so many at random.

    names: of all clients. Raises BadInput where one of `unseen` is not among them, or none would be left to train.
    """
    return _whole_clients("unseen_clients", names, unseen, generator(seed, Purpose.HELD_OUT, _UNSEEN))


def tuning_among(
    names: Sequence[str], tuning: int | tuple[str, ...], is_unseen: np.ndarray, seed: int
) -> np.ndarray:
    """A mask of the clients that never take part in training and choose, bool [K]; none of them is unseen.

    Raises BadInput where one of `tuning` is not there or is unseen, or none would be left to train.
    """
    numbers = generator(seed, Purpose.HELD_OUT, _TUNING_CLIENTS)
    return _whole_clients("tuning_clients", names, tuning, numbers, is_unseen)


def _whole_clients(
    field: str,
    names: Sequence[str],
    wanted: int | tuple[str, ...],
    numbers: np.random.Generator,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """A mask of the clients that are wanted, bool [K], none of which is taken."""
    free = np.arange(len(names)) if taken is None else np.flatnonzero(~taken)
    count = wanted if isinstance(wanted, int) else len(wanted)
    found = np.zeros(len(names), bool)
    if not isinstance(wanted, int):
        _check_names(field, names, wanted)
        found = np.isin(np.array(names, object), np.array(wanted, object))
        if taken is not None and (both := np.flatnonzero(found & taken)).size:
            raise BadInput(
                f"holdout.{field}: {names[both[0]]!r} was drawn as one of the unseen clients, which judge; name those "
                "in holdout.unseen_clients too"
            )
    if count >= len(free):
        raise BadInput(f"holdout.{field}: {count} of {len(free)} clients leaves none to train")
    if isinstance(wanted, int):
        # of all clients first, so that a study that leaves out others in turn has the same ones in every arm
        drawn = numbers.choice(len(names), count, replace=False)
        found[np.intersect1d(drawn, free)] = True
        rest = np.setdiff1d(free, drawn)
        found[numbers.choice(rest, count - int(found.sum()), replace=False)] = True
    return found


def _check_names(field: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise BadInput where a client is not there, with the name that was probably meant."""
    known = set(names)
    if unknown := [name for name in wanted if name not in known]:
        raise BadInput(f"holdout.{field}: {no_such_client(unknown[0], names)}")


def no_such_client(name: str, names: Sequence[str]) -> str:
    """The sentence on a client that is not there: what was probably meant, and who is there."""
    return f"there is no client {name!r}; {meant(name, names)}the {len(names):,} clients are: {listed(names)}"


def held_without(held: Sequence[np.ndarray], names: Sequence[str], without: Sequence[str]) -> Slices:
    """What clients train on once some have withdrawn, who hold nothing then.

    Raises BadInput where one of these is not among the clients, or nobody is left to train.
    """
    for name in without:
        if name not in names:
            raise BadInput(f"cohort.without: {no_such_client(name, names)}")
    left = emptied(held, names, without)
    if not left.sizes.any():
        raise BadInput(f"cohort.without: without {listed(without)} nobody is left to train")
    return left


def left_by(federation: Federation, names: tuple[str, ...]) -> Federation:
    """The federation that these clients have left, who neither train nor choose; not counted anew. Raises BadInput."""
    parts = (federation.own_validation, federation.own_tuning)
    validation, tuning = (emptied(part, federation.names, names) for part in parts)
    training = held_without(federation.clients, federation.names, names)
    return replace(federation, clients=training, own_validation=validation, own_tuning=tuning)


def emptied(held: Sequence[np.ndarray], names: Sequence[str], whose: Sequence[str]) -> Slices:
    """What clients hold, by name, with nothing for these."""
    before, stay = sliced(held), ~np.isin(np.array(names, object), np.array(whose, object))
    return Slices(before.flat[np.repeat(stay, before.sizes)], np.where(stay, before.sizes, 0))


def own_shares(
    held: Slices,
    clients: np.ndarray,
    rule: HeldOutBy,
    which: Literal["client", "validation", "tuning"],
    share: float,
    seed: int,
    *,
    of_all: int | None = None,
) -> tuple[Slices, Slices]:
    """(what each client trains on, what it holds out of this). A share leaves at least one example to train on.

    clients: the number of each, int64 [K]. Copies are on one side where they are to be. A rule knows one set that
    chooses, which is why `tuning` is drawn as `validation` is. of_all: the number of all examples; at
    random, shares are then drawn by one order of them, so that mostly the same are held out, whoever holds them.
    """
    if not (share or which in rule.stated):
        return held, Slices(held.flat[:0], np.zeros(len(held), np.int64))
    stream = {"client": _OWN, "validation": _VALIDATION, "tuning": _TUNING}[which]
    numbers = Generators(seed, Purpose.HELD_OUT, stream, clients.tolist())
    as_named: SetName = "client" if which == "client" else "validation"
    if of_all is not None and rule.is_random:
        order = generator(seed, Purpose.HELD_OUT, stream).permutation(of_all)
        kept = [_first_in(order, mine, share) for mine in held]
    else:
        kept = [_split(mine, rule, as_named, share, own) for mine, own in zip(held, numbers, strict=True)]
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


def _first_in(order: np.ndarray, held: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The same by the places of all examples in an order, int64 [N]: the first of those that a client holds."""
    count = min(round(share * len(held)), max(len(held) - 1, 0))
    first = np.zeros(len(held), bool)
    first[np.argsort(order[held])[:count]] = True
    return held[~first], held[first]
