"""Tasks by name: usual losses and measures for each form of targets. The registry is the table of contents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from federated.metrics.measures import Targets
from federated.metrics.tasks.classification import CLASSIFICATION
from federated.metrics.tasks.multilabel import MULTILABEL
from federated.metrics.tasks.regression import REGRESSION
from federated.metrics.tasks.sequence import PADDING, SEQUENCE
from federated.metrics.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, REGRESSION, MULTILABEL, SEQUENCE)}

if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[tuple(TASKS)]
"""The name of a task in a study file."""


def targets_of(task: TaskName | None) -> Targets | None:
    """The form of the targets of a task; None where none is stated."""
    return None if task is None else TASKS[task].targets


__all__ = [
    "CLASSIFICATION",
    "MULTILABEL",
    "PADDING",
    "REGRESSION",
    "SEQUENCE",
    "TASKS",
    "Targets",
    "Task",
    "TaskName",
    "targets_of",
]
