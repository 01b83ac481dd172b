"""Classification: a score for every class, cross-entropy, accuracy."""

from __future__ import annotations

from federated.metrics.measures.classes.accuracy import accuracy
from federated.metrics.measures.classes.f1 import macro_f1
from federated.metrics.measures.classes.likelihood import CROSS_ENTROPY
from federated.metrics.tasks.task import Task, one_output_a_class

CLASSIFICATION = Task(
    name="classification",
    targets="classification",
    num_outputs=one_output_a_class,
    usual_loss="cross_entropy",
    measures=(CROSS_ENTROPY, accuracy(), macro_f1()),
    main="accuracy",
    headline="accuracy",
)
