"""Warnings about measures that are undefined, or chance, on the examples that some clients hold out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from federated.metrics.by_client import grouped_sums
from federated.metrics.measures import Measure, Predictions
from federated.metrics.scoring import of_clients
from federated.run.setup import Setup

_FEW_POSITIVES = 10
"""Fewer, and one example more or less on the right side moves a share by more than 0.1."""


def of_measures(setup: Setup) -> Iterable[str]:
    """One warning for each measure that a study asks for and each set on which it is undefined for some clients."""
    if not setup.scoring.stated:
        return
    federation = setup.federation
    for measure in (each for each in setup.scoring.spread if each.needs):
        if _undefined(measure, [federation.test], setup).any():
            yield (
                f"evaluation.metric: {measure.label} is undefined on the central test set, which lacks {measure.needs}"
            )
        for whose, parts in (
            ("clients", federation.own_held_out),
            ("unseen clients", federation.unseen),
        ):
            held = [part for part in parts if len(part)]
            if held:
                yield _of_clients(measure, whose, held, setup)


def _of_clients(measure: Measure, whose: str, held: list[np.ndarray], setup: Setup) -> str:
    undefined = _undefined(measure, held, setup)
    said = []
    if missing := int(undefined.sum()):
        said.append(
            f"is undefined for {missing} of {len(held)} {whose}, whose held-out examples lack {measure.needs}; "
            "statistics over clients leave them out"
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


def _undefined(measure: Measure, held: list[np.ndarray], setup: Setup) -> np.ndarray:
    """Whether the measure of each client's examples is undefined, whatever the answers are, bool [K]."""
    targets = torch.from_numpy(setup.federation.examples.targets[np.concatenate(held)])
    answers = torch.zeros(len(targets), setup.federation.examples.num_outputs)
    thresholds = {rule.name: 0.5 for rule in setup.scoring.thresholds}
    sizes = np.array([len(part) for part in held])
    undefined: np.ndarray = np.isnan(of_clients(measure, Predictions(answers, targets, thresholds), sizes))
    return undefined


def _positives(measure: Measure, held: list[np.ndarray], setup: Setup) -> np.ndarray | None:
    if measure.positive is None:
        return None
    labels = setup.federation.examples.targets[np.concatenate(held)]
    return grouped_sums(labels == measure.positive, np.array([len(part) for part in held]))
