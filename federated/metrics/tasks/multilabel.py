"""Several labels at once: a score for each, which the example has or has not."""

from __future__ import annotations

import numpy as np

from federated.metrics.measures.labels.labels import label_accuracy, label_f1, label_loss
from federated.metrics.tasks.task import Task


def _one_a_label(classes: tuple[str, ...] | None, targets: np.ndarray) -> int:
    return 1 if targets.ndim == 1 else int(targets.shape[1])


MULTILABEL = Task(
    name="multilabel",
    targets="multilabel",
    num_outputs=_one_a_label,
    usual_loss="bce",
    measures=(label_loss(), label_accuracy(), label_f1()),
    main="label_f1",
    headline="label_accuracy",
)
