"""Sequences: a score for every class at every position, such as of the next character, or of the tag of each word."""

from __future__ import annotations

from federated.metrics.measures.classes.accuracy import accuracy
from federated.metrics.measures.classes.likelihood import CROSS_ENTROPY, perplexity
from federated.metrics.tasks.task import Task, one_output_a_class

PADDING = -100
"""The target of a position that does not count, as torch's losses ignore it."""


SEQUENCE = Task(
    name="sequence",
    targets="sequence",
    num_outputs=one_output_a_class,
    usual_loss="cross_entropy",
    measures=(CROSS_ENTROPY, accuracy(), perplexity()),
    main="accuracy",
    headline="accuracy",
    measured_as="classification",
)
