"""What the model is evaluated on: the held-out sets and a sample of the training examples, by client."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from federated.federation import Federation
from federated.randomness import Purpose, generator

_TRAINING_SAMPLE, _RESAMPLES = range(2)  # keys of Purpose.EVALUATION


class EvaluatedSet(NamedTuple):
    """indices: int64 [n] into the examples, one client's after another's. sizes: int64 [K]; None without clients."""

    indices: np.ndarray
    sizes: np.ndarray | None = None


def evaluated_sets(federation: Federation, training_examples: int, seed: int) -> dict[str, EvaluatedSet]:
    """Those that are not empty: test, client (participants' own shares), unseen (clients), training.

    training: at most `training_examples`, drawn without replacement from all that participating clients train
    on, the same at every evaluation.
    """
    sets = {name: EvaluatedSet(indices) for name, indices in federation.held_out_sets().items()}
    for name, parts in {"client": federation.own_held_out, "unseen": federation.unseen}.items():
        if name in sets:
            sets[name] = sets[name]._replace(sizes=np.array([len(part) for part in parts], np.int64))
    return {**sets, "training": _training_sample(federation, training_examples, seed)}


def resampling(seed: int) -> np.random.Generator:
    """The numbers for intervals over clients."""
    return generator(seed, Purpose.EVALUATION, _RESAMPLES)


def _training_sample(federation: Federation, count: int, seed: int) -> EvaluatedSet:
    training, ends = federation.training, np.cumsum(federation.sizes)
    numbers = generator(seed, Purpose.EVALUATION, _TRAINING_SAMPLE)
    drawn = np.sort(numbers.choice(len(training), min(count, len(training)), replace=False))
    owners = np.searchsorted(ends, drawn, side="right")
    return EvaluatedSet(training[drawn], np.bincount(owners, minlength=len(ends)))
