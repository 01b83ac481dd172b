"""Held-out examples at random."""

from __future__ import annotations

import numpy as np

from federated.examples.examples import Examples
from federated.holdouts.rule import FittedRule, HoldoutRule, SetName


def random() -> HoldoutRule:
    """Each example alike; the central test set has the classes in the shares that they have in all examples.

    Of a time series, whose neighbours are alike, the scores are then too good: see `time`. Of several examples of one
    person, too: see `groups`.
    """
    return HoldoutRule(_fitted, is_random=True)


def _fitted(examples: Examples, copies: np.ndarray | None) -> FittedRule:
    def split(
        candidates: np.ndarray, share: float, which: SetName, numbers: np.random.Generator
    ) -> np.ndarray:
        if which == "test":
            return _stratified(examples, candidates, share, numbers)
        held_out = np.zeros(len(candidates), bool)
        count = min(round(share * len(candidates)), max(len(candidates) - 1, 0))
        if count:
            held_out[numbers.permutation(len(candidates))[:count]] = True
        return held_out

    return FittedRule(split)


def _stratified(
    examples: Examples, candidates: np.ndarray, share: float, numbers: np.random.Generator
) -> np.ndarray:
    """Raises ValueError where a class has a single example, or the share is too small."""
    from sklearn.model_selection import train_test_split

    classes = examples.classes
    if classes is not None and len(single := np.flatnonzero(np.bincount(examples.targets) < 2)):
        raise ValueError(
            f"dataset: the class {classes[single[0]]!r} has 1 example; at least 2 are needed, "
            "one to train on and one to test on"
        )
    try:
        _, test = train_test_split(
            np.arange(len(candidates)),
            test_size=share,
            stratify=None if classes is None else examples.targets[candidates],
            random_state=int(numbers.integers(2**32)),
        )
    except ValueError as error:
        raise ValueError(f"holdout.test: {share} of {len(candidates)} examples: {error}") from error
    held_out = np.zeros(len(candidates), bool)
    held_out[test] = True
    return held_out
