"""A measure of a person's own, from a function of targets and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from federated.metrics.measures.measure import Arrays, Better, Measure, Targets
from federated.metrics.measures.predictions import Predictions
from federated.metrics.ranges import ANY, Ends


def own_measure(
    value: Callable[[np.ndarray, np.ndarray], float],
    *,
    better: Better,
    targets: Literal["classification", "regression"],
    unit: str = "",
    ends: Ends = ANY,
    least: int = 1,
    needs: str = "",
) -> Measure:
    """The measure whose value is a function of the targets and the answers of some examples, as NumPy arrays.

    value: of class numbers int64 [n] and probabilities float64 [n, classes]; or of numbers, float64 [n] both, or
        [n, outputs] where there are several. It returns a number, NaN where it is undefined.
    better: which way is better. ends: the lowest and the highest value that there can be. least: the number of examples
    below which it is undefined. needs: what a set of examples must hold for it to be defined.
    """
    forms: dict[Targets, Callable[[Predictions], Arrays]] = {
        "classification": _probabilities,
        "regression": _numbers,
    }
    if targets not in forms:
        raise ValueError(f"targets must be one of {', '.join(forms)}, got {targets!r}")
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be higher or lower, got {better!r}")
    name = "own"  # a study names it as its function
    return Measure(
        name,
        name,
        better,
        unit,
        "{set}",
        forms[targets],
        value,
        ends,
        least,
        (targets,),
        needs=needs,
        own=True,
    )


def _probabilities(found: Predictions) -> Arrays:
    return found.labels, torch.softmax(found.answers.double(), dim=1).numpy()


def _numbers(found: Predictions) -> Arrays:
    answers = found.answers.double().reshape(len(found), -1)
    targets = found.targets.double().reshape(answers.shape)
    return (
        (targets[:, 0].numpy(), answers[:, 0].numpy())
        if answers.shape[1] == 1
        else (
            targets.numpy(),
            answers.numpy(),
        )
    )
