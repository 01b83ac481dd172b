"""pfl-research: its simulated backend in one process, federated averaging weighted by examples.

On the CPU, or where PFL_PYTORCH_DEVICE, a variable of its own, says; all data are there before the clock starts.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.hyperparam import NNTrainHyperParams
from pfl.internal.ops.pytorch_ops import get_default_device
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn

from benchmarks.peers.handed import Handed, answer, read
from benchmarks.peers.torch_model import accuracy, initial_module


class Module(nn.Module):
    """A module as pfl wants it: with `loss` and `metrics`."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of a batch."""
        return nn.functional.cross_entropy(self.layers(inputs), targets)

    def metrics(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        """Nothing: no round evaluates."""
        return {}


class Clock(TrainingProcessCallback):  # type: ignore[misc]
    """The time at the start and after each round; a GPU is waited for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_begin(self, *, model: Any) -> Metrics:
        """Before the first round."""
        self._look()
        return Metrics()

    def after_central_iteration(
        self, aggregate_metrics: Any, model: Any, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """After each round; training goes on."""
        self._look()
        return False, Metrics()

    def _look(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def federated(work: Handed, device: torch.device) -> FederatedDataset:
    """Clients in the order in which the cohorts ask for them, examples in a new order each time."""
    inputs, targets = (torch.from_numpy(each).to(device) for each in (work.inputs, work.targets))
    asked = iter(work.cohorts.reshape(-1).tolist())

    def make(client: int) -> Dataset:
        held = torch.from_numpy(work.clients[client])
        order = held[torch.randperm(len(held))].to(device)
        return Dataset((inputs[order], targets[order]), user_id=str(client))

    return FederatedDataset(make, lambda: next(asked))


def main(path: str) -> None:
    """Train all rounds; the first is warm-up."""
    torch.set_num_threads(1)
    work, clock = read(path), Clock()
    rounds, cohort = work.cohorts.shape
    device = get_default_device()
    module = Module(initial_module(work)).to(device)
    model = PyTorchModel(
        module,
        lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=work.momentum),
        torch.optim.SGD(module.parameters(), lr=1.0),
    )
    backend = SimulatedBackend(federated(work, device), val_data=None, postprocessors=[WeightByDatapoints()])
    FederatedAveraging().run(
        # pfl evaluates in the first round, whatever the frequency; it is warm-up.
        NNAlgorithmParams(rounds, rounds + 1, cohort, None),
        backend,
        model,
        NNTrainHyperParams(
            local_batch_size=work.batch_size, local_num_epochs=1, local_learning_rate=work.learning_rate
        ),
        callbacks=[clock],
    )
    seconds = [after - before for before, after in pairwise(clock.times)]
    answer(seconds, accuracy(module.layers.cpu(), work))


if __name__ == "__main__":
    main(sys.argv[1])
