"""Warnings about measures that are undefined, or chance, on the examples that some clients hold out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from federated.metrics.measures import Measure
from federated.metrics.scoring import of_clients
from federated.run.setup import Setup

_FEW_POSITIVES = 10
"""Fewer, and one example more or less on the right side moves a share by more than 0.1."""
_SURE = 10.0
"""The score of a class, or its negative, with which a model would be sure of it."""


def of_delta(setup: Setup, delta: float | None) -> Iterable[str]:
    """A warning where the default difference that matters is in a unit that it was not made for.

    delta: the default; None where the study states its own.
    """
    main = setup.scoring.main
    if delta is not None and main.ends[1] > 1:
        yield (
            f"comparison.delta: {delta:g}, the smallest difference that matters, is not stated, and {main.label} has a "
            f"unit of its own ({main.unit}); verdicts of no difference use it: state it in that unit"
        )


def of_measures(setup: Setup) -> Iterable[str]:
    """One warning for each measure that a study asks for and each set on which it is undefined for some clients."""
    if not setup.scoring.stated:
        return
    federation = setup.federation
    for measure in (each for each in setup.scoring.spread if each.needs):
        whatever, may_be = _undefined(measure, [federation.test], setup)
        if may_be.any():
            how = "is" if whatever.all() else "may be"
            yield (
                f"evaluation.metric: {measure.label} {how} undefined on the central test set: it needs {measure.needs}"
            )
        for whose, parts in (
            ("clients", federation.own_held_out),
            ("unseen clients", federation.unseen),
        ):
            held = [part for part in parts if len(part)]
            if held:
                yield _of_clients(measure, whose, held, setup)


def _of_clients(measure: Measure, whose: str, held: list[np.ndarray], setup: Setup) -> str:
    whatever, undefined = _undefined(measure, held, setup)
    said = []
    if missing := int(undefined.sum()):
        how = "is" if whatever.sum() == missing else "may be"
        said.append(
            f"{how} undefined for {missing} of {len(held)} {whose}: it needs {measure.needs} among the examples that a "
            "client holds out; statistics over clients leave out those without"
        )
    positives = _positives(measure, held, setup)
    few = int(((positives < _FEW_POSITIVES) & ~undefined).sum()) if positives is not None else 0
    if few and positives is not None:
        fewest = int(positives[~undefined].min())
        of = "" if said else f" of {len(held)} {whose}"
        said.append(
            f"is mostly chance for {few}{of} with fewer than {_FEW_POSITIVES} positive examples (the fewest: {fewest})"
        )
    return f"evaluation.metric: {measure.label} {'. It '.join(said)}" if said else ""


def _undefined(measure: Measure, held: list[np.ndarray], setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Whether the measure of each client's examples is undefined, bool [K]: whatever the answers are, and with some.

    Asked with two answers that are the same for every example, of which at least one predicts another class than the
    one that a measure is about.
    """
    targets = torch.from_numpy(setup.federation.examples.targets[np.concatenate(held)])
    outputs = setup.federation.examples.num_outputs
    thresholds = {rule.name: 0.5 for rule in setup.scoring.thresholds}
    sizes = np.array([len(part) for part in held])
    asked = []
    for likely in (0, outputs - 1):
        answer = torch.full((1, outputs), -_SURE)
        answer[:, likely] = _SURE
        found = setup.scoring.constant(answer, targets, thresholds)
        asked.append(np.isnan(of_clients(measure, found, sizes)))
    first, last = asked
    return first & last, first | last


def _positives(measure: Measure, held: list[np.ndarray], setup: Setup) -> np.ndarray | None:
    if measure.positive is None:
        return None
    labels = [setup.federation.examples.labels_of(part) for part in held]
    return np.array([int((each == measure.positive).sum()) for each in labels])
