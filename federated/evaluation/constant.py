"""The scores of a constant answer on each held-out set, measured as a model's answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from federated.evaluation.sets import EvaluatedSet, evaluated_sets
from federated.metrics import Metrics
from federated.metrics.constant_answer import constant_answers, constant_metric, further_answers
from federated.metrics.measures import Measure, Predictions
from federated.metrics.scoring import Scoring, of_clients

if TYPE_CHECKING:
    from federated.run.setup import Setup

_JUDGED = ("test", "client", "unseen")


def constant_metrics(setup: Setup) -> Metrics:
    """`generalisation/*_constant_*` of the sets that judge, and over clients the mean of what is spread over them.

    Each measure has the constant that is best on the training examples of all clients that take part: the mean for a
    squared error, the median for an absolute one, of a class's F1 that everything is this class.
    """
    examples, training = setup.federation.examples, setup.federation.training
    if not len(training):
        return {}
    classes = len(examples.class_names) if examples.class_names is not None else None
    labels = examples.task.targets == "multilabel"
    learnt = examples.targets[training] if classes is None else examples.labels_of(training)
    answers = constant_answers(learnt.astype(np.float64) if labels else learnt, classes, labels)
    trained = torch.from_numpy(examples.targets[training])
    chosen = _best_on(trained, answers, setup.scoring, None if labels else classes)
    options, found = setup.config.evaluation, Metrics()
    sets = evaluated_sets(setup.federation, options.training_examples, setup.config.seed, options.unseen_fit)
    for name in [name for name in _JUDGED if name in sets]:
        targets = torch.from_numpy(examples.targets[sets[name].indices])
        found |= _on(name, sets[name], targets, chosen, setup.scoring)
    return found


def _best_on(
    targets: Tensor, answers: Sequence[Tensor], scoring: Scoring, classes: int | None
) -> dict[str, Predictions]:
    """Measure -> the answers to these targets that are best by it, with their thresholds; of several as good the first.

    classes: their number; None for numbers and labels.
    """

    def given(answer: Tensor) -> Predictions:
        chosen = scoring.chosen(scoring.constant(answer, targets)) if scoring.thresholds else {}
        return scoring.constant(answer, targets, chosen)

    usual, found = [given(answer) for answer in answers], {}
    for measure in scoring.pooled:
        tried = [*usual, *map(given, further_answers(measure, usual[0].targets.numpy(), classes))]
        scores = [measure.sign * measure.of(each) for each in tried] if len(tried) > 1 else [0.0]
        found[measure.name] = tried[int(np.nan_to_num(scores, nan=-np.inf).argmax())]
    return found


def _on(
    name: str,
    part: EvaluatedSet,
    targets: Tensor,
    chosen: Mapping[str, Predictions],
    scoring: Scoring,
) -> Metrics:
    """What the chosen answers get on one set, and of a set of clients the means over these."""

    def of(measure: Measure) -> Predictions:
        best = chosen[measure.name]
        return scoring.constant(best.answers[:1], targets, best.thresholds)

    found = {measure.name: measure.of(of(measure)) for measure in scoring.pooled}
    if part.sizes is not None:
        each = {m.name: of_clients(m, of(m), part.sizes) for m in scoring.spread}
        found |= {f"{m}_mean": np.nanmean(v) for m, v in each.items() if not np.isnan(v).all()}
    return {
        constant_metric(f"generalisation/{name}_{measure}"): float(value)
        for measure, value in found.items()
        if not np.isnan(value)
    }
