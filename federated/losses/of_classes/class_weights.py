"""Weights of classes, as factors of the loss of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator

from data_partitioners.partition import flat_of
from federated.foundation.scales import LARGEST_FLOAT
from federated.losses.loss import Weigh


def _as_name(key: Any) -> Any:
    """A whole number as text, as which YAML reads the name of a class that is one, such as a digit."""
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else key


ClassName = Annotated[str, BeforeValidator(_as_name)]
ClassWeights = Literal["balanced", "balanced_by_client"] | tuple[float, ...] | dict[ClassName, float] | None


def weigher(stated: ClassWeights) -> Weigh | None:
    """The factor of each example by its class; None where nothing is stated. Raises ValueError where one is none."""
    if stated is None:
        return None
    if stated == "balanced":
        return _balanced
    if stated == "balanced_by_client":
        return _balanced_by_client
    given = list(stated.values()) if isinstance(stated, Mapping) else list(stated)
    for weight in given:
        if not 0 <= float(weight) <= LARGEST_FLOAT:
            raise ValueError(f"class_weights must be numbers from 0, got {weight}")
    if not any(given):
        raise ValueError("class_weights must not all be zero: nothing would be learnt")

    def weigh(
        targets: np.ndarray, holders: Sequence[np.ndarray], classes: tuple[str, ...] | None
    ) -> np.ndarray:
        factors: np.ndarray = _by_class(stated, classes or ())[targets]
        return factors

    return weigh


def counts_classes(weigh: Weigh | None) -> bool:
    """Whether the weights of a loss are counts of the training examples."""
    return weigh in (_balanced, _balanced_by_client)


def counts_all_classes(weigh: Weigh | None) -> bool:
    """Whether they are counts of the training examples of all clients together."""
    return weigh is _balanced


def _by_class(stated: Mapping[str, float] | Sequence[float] | str, classes: tuple[str, ...]) -> np.ndarray:
    """float64 [classes]. Raises ValueError where they do not fit the classes."""
    names = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    if isinstance(stated, Mapping):
        if unlike := sorted(set(stated) ^ set(classes)):
            wrong = "has no weight" if unlike[0] in classes else "is no class"
            raise ValueError(
                f"class_weights: {unlike[0]!r} {wrong}; state a weight for each of the classes {names}"
            )
        return np.array([stated[name] for name in classes], np.float64)
    if len(stated) != len(classes):
        raise ValueError(
            f"class_weights: {len(stated)} weights for {len(classes)} classes; state one for each of {names}, in this "
            "order"
        )
    return np.array(stated, np.float64)


def _balanced(
    targets: np.ndarray, holders: Sequence[np.ndarray], classes: tuple[str, ...] | None
) -> np.ndarray:
    """As scikit-learn's class_weight="balanced", of the training examples of all; those of no one have a weight too."""
    factors: np.ndarray = _weights(targets[flat_of(holders)], len(classes or ()))[targets]
    return factors


def _balanced_by_client(
    targets: np.ndarray, holders: Sequence[np.ndarray], classes: tuple[str, ...] | None
) -> np.ndarray:
    """The same at each client alone; 1 for examples that no client trains on."""
    factors = np.ones(len(targets))
    for held in holders:
        factors[held] = _weights(targets[held], len(classes or ()))[targets[held]]
    return factors


def _weights(targets: np.ndarray, num_classes: int) -> np.ndarray:
    """examples / (classes that occur x examples of the class), float64 [classes]; 0 for a class that does not occur."""
    counts = np.bincount(targets, minlength=num_classes).astype(np.float64)
    found: np.ndarray = np.divide(
        len(targets), (counts > 0).sum() * counts, out=np.zeros(num_classes), where=counts > 0
    )
    return found
