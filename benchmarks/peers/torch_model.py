"""The models of the workloads in plain torch, for peers that train torch modules."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from benchmarks.peers.handed import Handed, read


def initial_module(work: Handed) -> nn.Module:
    """The initial model: the same layers under the same names, the same parameters."""
    module = _LAYERS[work.model]()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in work.parameters.items()})
    return module


@lru_cache(maxsize=1)
def loaded(path: str) -> tuple[Handed, Tensor, Tensor, nn.Module]:
    """The work with its tensors and a module to train; loaded once in each process."""
    work = read(path)
    return work, torch.from_numpy(work.inputs), torch.from_numpy(work.targets), initial_module(work)


def accuracy(module: nn.Module, work: Handed) -> float:
    """Share of the test set that is classified right."""
    with torch.inference_mode():
        outputs = module.eval()(torch.from_numpy(work.inputs[work.test]))
    return float((outputs.argmax(dim=1).numpy() == work.targets[work.test]).mean())


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, 10),
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def _two_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 14 * 14, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def _logistic() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


_LAYERS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "logistic": _logistic,
    "benchmarks.cifar10:two_convolutions": _two_convolutions,
}
