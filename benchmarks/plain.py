"""The loop that a person would write: an nn.Module, torch.optim.SGD, tensors in memory, one client after another."""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.machine import wait_for
from benchmarks.statistics import Timing
from benchmarks.work import Work


def measure_plain(work: Work, threads: int, device: str = "cpu") -> Timing:
    """Time each round; accuracy on the test set after the last."""
    module, seconds = train(work, threads, device)
    return Timing(seconds, accuracy=accuracy(module.cpu(), work))


def train(work: Work, threads: int, device: str = "cpu") -> tuple[nn.Module, list[float]]:
    """(the trained global model, the seconds of each round).

    The data are floats before the clock starts, and the order of examples is drawn: both in favour of this loop.
    """
    torch.set_num_threads(threads)
    inputs = torch.from_numpy(work.inputs).to(device).float() / 255
    targets = torch.from_numpy(work.targets).to(device)
    orders = {key: torch.from_numpy(order).to(device) for key, order in work.orders.items()}
    module, seconds = copy.deepcopy(work.module).to(device), []
    for done, cohort in enumerate(work.cohorts):
        started = time.perf_counter()
        module.load_state_dict(_round(module, work, done, cohort, inputs, targets, orders))
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return module, seconds


def _round(
    module: nn.Module,
    work: Work,
    done: int,
    cohort: np.ndarray,
    inputs: Tensor,
    targets: Tensor,
    orders: dict[tuple[int, int], Tensor],
) -> dict[str, Tensor]:
    """The mean of the clients' models, weighted by their examples."""
    clients = [int(client) for client in cohort]
    total = sum(len(orders[done, client]) for client in clients)
    mean = {name: torch.zeros_like(value) for name, value in module.state_dict().items()}
    for client in clients:
        order = orders[done, client]
        trained = _train_client(copy.deepcopy(module), work, inputs, targets, order)
        for name, value in trained.state_dict().items():
            mean[name] += value * (len(order) / total)
    return mean


def _train_client(module: nn.Module, work: Work, inputs: Tensor, targets: Tensor, order: Tensor) -> nn.Module:
    optimiser = torch.optim.SGD(module.parameters(), lr=work.learning_rate, momentum=work.momentum)
    module.train()
    for batch in torch.split(order, work.batch_size):
        optimiser.zero_grad()
        loss = F.cross_entropy(module(inputs[batch]), targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return module


def accuracy(module: nn.Module, work: Work) -> float:
    """Share of the test set that is classified right."""
    right = 0
    with torch.inference_mode():
        for batch in np.array_split(work.test, max(1, len(work.test) // 256)):
            outputs = module.eval()(torch.from_numpy(work.inputs[batch]).float() / 255)
            right += int((outputs.argmax(dim=1).numpy() == work.targets[batch]).sum())
    return right / len(work.test)
