"""Rules that choose the probability from which an example counts as positive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from federated.metrics.measures.measure import Threshold

Choose = Callable[[np.ndarray, np.ndarray], float]


class Rule:
    """The rule that a study states: a fixed probability, or one chosen on examples that do not judge."""

    def __init__(
        self, threshold: float | None, at_specificity: float | None, at_sensitivity: float | None
    ) -> None:
        stated = {
            "threshold": threshold,
            "at_specificity": at_specificity,
            "at_sensitivity": at_sensitivity,
        }
        given = {name: value for name, value in stated.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"state one of {', '.join(stated)}, got {' and '.join(given)}")
        for name, value in given.items():
            if not 0 < value < 1:
                raise ValueError(f"{name}: must be between 0 and 1, got {value:g}")
        self.fixed, self._given = threshold, given

    @property
    def name(self) -> str:
        """As in names of metrics: "youden", "specificity_0.9", "sensitivity_0.9", "threshold_0.5"."""
        return next(
            (f"{name.removeprefix('at_')}_{value:g}" for name, value in self._given.items()), "youden"
        )

    @property
    def words(self) -> str:
        """For people, after the measure; nothing where sensitivity and specificity count alike."""
        return next((f" at {name.removeprefix('at_')} {value:g}" for name, value in self._given.items()), "")

    def chosen(self, name: str, positive: int) -> Threshold | None:
        """What has to be chosen; None for a fixed threshold."""
        return None if self.fixed is not None else Threshold(name, positive, self._choose())

    def _choose(self) -> Choose:
        if "at_specificity" in self._given:
            return partial(_lowest_with, specificity=self._given["at_specificity"])
        if "at_sensitivity" in self._given:
            return partial(_highest_with, sensitivity=self._given["at_sensitivity"])
        return _youden


def _rates(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Of every threshold that differs, falling: itself, sensitivity and specificity; None without both classes.

    The first one is above all scores, so that nothing is positive; others lie in the middle between two scores, so that
    rounding does not move an example across.
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return None
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(order) - 1)
    right = np.cumsum(positive[order])[ends]
    between = (falling[ends[:-1]] + falling[ends[:-1] + 1]) / 2
    at = np.concatenate([[np.nextafter(falling[0], np.inf)], between, falling[-1:]])
    # one division, of a whole number: 1 - 7 / 100 is below 0.93
    return at, np.append(0.0, right / ones), np.append(zeros, zeros - (ends + 1 - right)) / zeros


def _youden(positive: np.ndarray, scores: np.ndarray) -> float:
    """Where sensitivity plus specificity is largest (Youden 1950); of several the highest."""
    if (found := _rates(positive, scores)) is None:
        return np.nan
    at, sensitivity, specificity = found
    return float(at[np.argmax(sensitivity + specificity)])


def _lowest_with(positive: np.ndarray, scores: np.ndarray, specificity: float) -> float:
    """The lowest threshold with at least this specificity."""
    found = _rates(positive, scores)
    return np.nan if found is None else float(found[0][np.flatnonzero(found[2] >= specificity)[-1]])


def _highest_with(positive: np.ndarray, scores: np.ndarray, sensitivity: float) -> float:
    """The highest threshold with at least this sensitivity."""
    found = _rates(positive, scores)
    return np.nan if found is None else float(found[0][np.flatnonzero(found[1] >= sensitivity)[0]])
