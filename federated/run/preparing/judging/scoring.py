"""The scoring of a run, from what its config asks for and the classes of its data."""

from __future__ import annotations

import numpy as np

from federated.choices.choice import Choice
from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.metrics.measures import Classes, Measure, slug
from federated.metrics.scoring import Scoring, scoring_of
from federated.user_code.containment import is_own, title


def run_scoring(config: RunConfig, examples: Examples) -> Scoring:
    """The measures by which the run's model is judged. Raises BadInput where one does not fit the data."""
    asked = config.evaluation.metric or ()
    classes = None
    if examples.class_names is not None:
        labels = examples.labels_of(np.arange(len(examples.targets)))
        counts = np.bincount(labels, minlength=len(examples.class_names))
        classes = Classes(examples.class_names, counts)
    try:
        return scoring_of(examples.task, [_built(each) for each in asked], classes)
    except ValueError as error:
        failed = OwnCodeFailed if isinstance(error, OwnCodeFailed) else BadInput
        raise failed(f"evaluation.metric: {error}") from error


def _built(choice: Choice) -> Measure:
    """The measure of a choice; one of a person's own is named as it was stated, and says which way is better."""
    made: Measure = choice.build()
    if not is_own(choice):
        return made
    name = f"{slug(choice.label()).strip('_')}_{made.better}_is_better"
    return made._replace(name=name, label=choice.label(), meaning=f"{title(choice)} on {{set}}")
