"""Faults of the columns beside the inputs of examples: targets, client ids, test split; each as a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from federated.metrics.tasks import PADDING


def fault_of_clients(client_ids: np.ndarray | None) -> str:
    """What is wrong with natural clients [N], in a sentence; empty where nothing is."""
    if client_ids is None:
        return ""
    if client_ids.ndim != 1:
        return f"client_ids must be [N], one for each example, got {list(client_ids.shape)}"
    missing = np.flatnonzero(pd.isna(client_ids))
    return (
        f"client_ids has {len(missing)} missing values, the first is example {missing[0]}"
        if len(missing)
        else ""
    )


def fault_of_test(test: np.ndarray | None) -> str:
    """The same of an own test split, bool [N]."""
    if test is None:
        return ""
    if test.dtype != bool or test.ndim != 1:
        return f"test must be bool [N], got {test.dtype} {list(test.shape)}"
    if test.all() or not test.any():
        which = "every example" if test.all() else "no example"
        return f"test marks {which}; mark some, or leave it out to have a test set drawn"
    return ""


def fault_of_classes(targets: np.ndarray, classes: tuple[str, ...]) -> str:
    """The same of targets that are class numbers int64 [N], of which each class has an example."""
    if targets.dtype != np.int64 or targets.ndim != 1:
        return f"class targets must be int64 [N], got {targets.dtype} {list(targets.shape)}"
    if targets.min() < 0 or targets.max() >= len(classes):
        return (
            f"targets must be class numbers 0 ... {len(classes) - 1}, got {targets.min()} ... {targets.max()}"
        )
    if len(empty := np.flatnonzero(np.bincount(targets, minlength=len(classes)) == 0)):
        return f"the class {classes[empty[0]]!r} has no examples; number the classes without gaps"
    return ""


def fault_of_sequences(targets: np.ndarray, classes: tuple[str, ...]) -> str:
    """The same of targets that are class numbers int64 [N, length], PADDING where a position does not count."""
    if targets.dtype != np.int64 or targets.ndim != 2:
        return f"targets of sequences must be int64 [N, length], got {targets.dtype} {list(targets.shape)}"
    counts = targets != PADDING
    if len(empty := np.flatnonzero(~counts.any(axis=1))):
        return f"example {empty[0]} has no position that counts: all its targets are padding; leave it out"
    lowest, highest = targets[counts].min(), targets.max()
    if lowest < 0 or highest >= len(classes):
        return f"targets must be class numbers 0 ... {len(classes) - 1}, got {lowest} ... {highest}"
    return ""
