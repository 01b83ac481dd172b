"""The sets for evaluation: the held-out sets and a sample of the training examples, grouped by client."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from data_partitioners.partition import flat_of, sizes_of
from federated.config.evaluation import UnseenFit
from federated.federation.federation import Federation
from federated.foundation.randomness import Purpose, generator
from federated.metrics.dictionary.stated import CHOOSING, NEVER_TRAINED

_TRAINING_SAMPLE, _RESAMPLES, _TEST_DEALT, _FIT = range(4)  # keys of Purpose.EVALUATION


class EvaluatedSet(NamedTuple):
    """indices: int64 [n] into the examples, one client's after another's. sizes: int64 [K]; None without clients."""

    indices: np.ndarray
    sizes: np.ndarray | None = None


def evaluated_sets(
    federation: Federation, training_examples: int, seed: int, fit: UnseenFit | None = None
) -> dict[str, EvaluatedSet]:
    """The non-empty sets among test, client (participants' own shares), unseen (clients), what chooses, and training.

    validation, tuning, tuning_clients: participants' shares for choosing, and clients for it. They never judge, and no
    other set ever chooses.
    training: at most `training_examples`, drawn without replacement from all that participating clients train
    on, the same at every evaluation. fit: what unseen clients fit on, by which nothing is judged.
    """
    sets = {name: EvaluatedSet(indices) for name, indices in federation.held_out_sets().items()}
    parts_of = {
        "client": federation.own_held_out,
        "unseen": federation.unseen,
        "validation": federation.own_validation,
        "tuning": federation.own_tuning,
        "tuning_clients": federation.tuning_clients,
    }
    for name, parts in parts_of.items():
        if name in sets:
            sets[name] = sets[name]._replace(sizes=sizes_of(parts))
    if fit is not None and "unseen" in sets:
        sets["unseen"] = _judging(federation, fit, seed)
    return {**sets, "training": _training_sample(federation, training_examples, seed)}


def fitting_examples(federation: Federation, fit: UnseenFit, seed: int) -> list[np.ndarray]:
    """The examples on which each unseen client fits, drawn at random: at most half of those that it holds.

    None at all of a client with fewer than four, as batch normalisation cannot be trained on a single example.
    """
    counts = [min(fit.examples, len(held) // 2) for held in federation.unseen]
    return [
        generator(seed, Purpose.EVALUATION, _FIT, at).permutation(held)[: count if count > 1 else 0]
        for at, (held, count) in enumerate(zip(federation.unseen, counts, strict=True))
    ]


def _judging(federation: Federation, fit: UnseenFit, seed: int) -> EvaluatedSet:
    """All other examples of the unseen clients, by which every arm is judged alike."""
    fitted = fitting_examples(federation, fit, seed)
    rest = [held[~np.isin(held, taken)] for held, taken in zip(federation.unseen, fitted, strict=True)]
    return EvaluatedSet(np.concatenate(rest), sizes_of(rest))


def fitted_profile(federation: Federation, fit: UnseenFit | None, seed: int) -> dict[str, int]:
    """The examples of unseen clients that judge, and those that are fitted on; empty where there are none of these."""
    if fit is None or not len(federation.unseen):
        return {}
    fitted = sum(map(len, fitting_examples(federation, fit, seed)))
    whole = len(flat_of(federation.unseen))
    return {"unseen_examples": whole - fitted, "unseen_fitting_examples": fitted}


def choosing_set(federation: Federation, without: Collection[str] = ()) -> str:
    """The set on which thresholds are chosen: the first of `CHOOSING` that there is, else the training sample.

    without: the sets of clients that have no model.
    """
    known = federation.held_out_sets().keys() - set(without)
    return next((name for name in CHOOSING if name in known), "training")


_LEAST_TESTED = 100
"""Of the central test set, for the model of every client: accuracy is known to 5 % of one model, to 0.5 % of 100."""


def evaluated_alone(
    federation: Federation,
    training_examples: int,
    seed: int,
    fit: UnseenFit | None = None,
    *,
    without: Collection[str] = NEVER_TRAINED,
    gone: np.ndarray | None = None,
) -> dict[str, EvaluatedSet]:
    """The same sets for clients with their own models, each of which is evaluated on its part of every set.

    The central test set is divided: every client that trains is evaluated on a part of it, at random and of equal
    sizes, of at least 100 examples and such that all of the set is used. without: the
    sets of clients that never train and have no model. gone: which participating clients have none either, bool [K], as
    they have withdrawn; nothing of theirs is evaluated.
    """
    sets = evaluated_sets(federation, training_examples, seed, fit)
    sets = {name: part for name, part in sets.items() if name not in without}
    if gone is not None:
        left = {name: _of_others(part, gone) if name == "client" else part for name, part in sets.items()}
        sets = {name: part for name, part in left.items() if len(part.indices)}
    clients, test = federation.sizes > 0, federation.test
    if not len(test):
        return sets
    each = min(len(test), max(-(-len(test) // int(clients.sum())), _LEAST_TESTED))
    order = generator(seed, Purpose.EVALUATION, _TEST_DEALT).permutation(test)
    dealt = order[np.arange(each * int(clients.sum())) % len(test)]
    return {**sets, "test": EvaluatedSet(dealt, each * clients.astype(np.int64))}


def _of_others(part: EvaluatedSet, gone: np.ndarray) -> EvaluatedSet:
    """The set without the examples of these clients."""
    assert part.sizes is not None
    return EvaluatedSet(part.indices[~np.repeat(gone, part.sizes)], np.where(gone, 0, part.sizes))


def resampling(seed: int) -> np.random.Generator:
    """The random numbers for intervals over clients."""
    return generator(seed, Purpose.EVALUATION, _RESAMPLES)


def _training_sample(federation: Federation, count: int, seed: int) -> EvaluatedSet:
    training, ends = federation.training, np.cumsum(federation.sizes)
    numbers = generator(seed, Purpose.EVALUATION, _TRAINING_SAMPLE)
    drawn = np.sort(numbers.choice(len(training), min(count, len(training)), replace=False))
    owners = np.searchsorted(ends, drawn, side="right")
    return EvaluatedSet(training[drawn], np.bincount(owners, minlength=len(ends)))
