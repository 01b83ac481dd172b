"""Evaluation of the global model on held-out data, by scikit-learn's metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, mean_squared_error, r2_score
from torch import Tensor

from federated.datasets.examples import Task
from federated.errors import Diverged
from federated.local_training.lean import lean_forward
from federated.objective import model_inputs
from federated.state import Metrics, RunState

if TYPE_CHECKING:
    from federated.setup import Setup

_MEASURES: dict[Task, tuple[str, ...]] = {
    "classification": ("loss", "accuracy", "macro_f1"),
    "regression": ("mse", "mae", "r2"),
}


def metric_names(task: Task, held_out_sizes: Mapping[str, int]) -> list[str]:
    """The metrics that a stop rule can watch: the training loss and those of every held-out set.

    held_out_sizes: examples of each set; R2 is undefined on a single one.
    """
    measured = [
        f"generalisation/{name}_{measure}"
        for name, size in held_out_sizes.items()
        for measure in _MEASURES[task]
        if measure != "r2" or size > 1
    ]
    return ["train/loss", *measured]


def main_metric(task: Task) -> str:
    """The one number by which arms are compared: accuracy, or R2, on the central test set."""
    return "generalisation/test_accuracy" if task == "classification" else "generalisation/test_r2"


def higher_is_better(metric: str) -> bool:
    """Losses and errors fall, everything else rises."""
    return not metric.endswith(("loss", "mse", "mae"))


def evaluate(state: RunState, setup: Setup) -> Metrics:
    """`generalisation/*` of the global model on every held-out set. Raises Diverged where it is not finite."""
    setup.model.load(state.parameters)
    metrics: Metrics = {}
    for name, indices in setup.federation.held_out_sets().items():
        outputs = _outputs(setup, indices)
        targets = setup.targets[torch.from_numpy(indices).to(setup.targets.device)]
        if not torch.isfinite(outputs).all():
            raise Diverged(f"round {state.round}: the model's outputs on the {name} set are not finite")
        measured = measures(outputs.cpu(), targets.cpu(), setup.federation.examples.task)
        metrics |= {f"generalisation/{name}_{measure}": value for measure, value in measured.items()}
    return metrics


def measures(outputs: Tensor, targets: Tensor, task: Task) -> Metrics:
    """The quality of outputs [N, outputs] against targets [N] or [N, outputs].

    Classification: loss (mean cross-entropy, nats), accuracy, macro_f1 (over the classes that occur in
    targets or predictions; 0 for one that is never predicted). Regression: mse, mae, r2 (averaged over outputs;
    left out below 2 examples, where it is undefined).
    """
    if task == "classification":
        predicted = outputs.argmax(dim=1).numpy()
        return {
            "loss": float(torch.nn.functional.cross_entropy(outputs.double(), targets)),
            "accuracy": float(accuracy_score(targets, predicted)),
            "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
        }
    true, predicted = targets.reshape(outputs.shape).double().numpy(), outputs.double().numpy()
    errors = {
        "mse": float(mean_squared_error(true, predicted)),
        "mae": float(mean_absolute_error(true, predicted)),
    }
    return {**errors, "r2": float(r2_score(true, predicted))} if len(true) > 1 else errors


def _outputs(setup: Setup, indices: np.ndarray) -> Tensor:
    """The model's outputs [n, outputs] for some examples, in evaluation mode."""
    outputs = lean_forward(setup.model.module.eval())
    with torch.inference_mode():
        batches = torch.split(
            torch.from_numpy(indices).to(setup.inputs.device), setup.config.evaluation.batch_size
        )
        return torch.cat([outputs(model_inputs(setup.inputs.index_select(0, batch))) for batch in batches])
