"""The plain loop with its step recorded as a CUDA graph: what a person would try next on a GPU."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import wait_for
from benchmarks.plain import accuracy
from benchmarks.statistics import Timing
from benchmarks.work import Work

_WARM_UP = 3  # steps before a graph is recorded, as torch asks for


class Steps:
    """Steps of SGD of one client on kept tensors. record: as graphs, one for each size of a batch; only on a GPU."""

    def __init__(self, work: Work, device: str, *, record: bool) -> None:
        self.module = copy.deepcopy(work.module).to(device).train()
        self._record, self._rate, self._momentum = record, work.learning_rate, work.momentum
        self._parameters: list[Tensor] = list(self.module.parameters())
        self._memory = [torch.zeros_like(each) for each in self._parameters]
        self._of_size: dict[int, tuple[Tensor, Tensor, Callable[[], None]]] = {}

    def begin(self, parameters: list[Tensor]) -> None:
        """A client has received these."""
        with torch.no_grad():
            torch._foreach_copy_(self._parameters, parameters)
            torch._foreach_zero_(self._memory)

    def parameters(self) -> list[Tensor]:
        """As they are now."""
        return [each.detach() for each in self._parameters]

    def take(self, inputs: Tensor, targets: Tensor) -> None:
        """One step on a batch."""
        if len(inputs) not in self._of_size:
            self._of_size[len(inputs)] = self._made(inputs, targets)
        kept_inputs, kept_targets, step = self._of_size[len(inputs)]
        kept_inputs.copy_(inputs)
        kept_targets.copy_(targets)
        step()

    def _made(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Callable[[], None]]:
        inputs, targets = inputs.clone(), targets.clone()

        def step() -> None:
            loss = F.cross_entropy(self.module(inputs), targets)
            gradients = list(torch.autograd.grad(loss, self._parameters))
            with torch.no_grad():
                if self._momentum:
                    torch._foreach_mul_(self._memory, self._momentum)
                    torch._foreach_add_(self._memory, gradients)
                    gradients = self._memory
                torch._foreach_add_(self._parameters, gradients, alpha=-self._rate)

        return inputs, targets, self._recorded(step) if self._record else step

    def _recorded(self, step: Callable[[], None]) -> Callable[[], None]:
        """The step as a graph; parameters and memory are afterwards what they were before."""
        kept = [each.detach().clone() for each in (*self._parameters, *self._memory)]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        with torch.no_grad():
            torch._foreach_copy_([*self._parameters, *self._memory], kept)
        return graph.replay


def measure_graphed(work: Work, device: str, *, record: bool = True) -> Timing:
    """Time each round; accuracy on the test set after the last. The first round records the graphs."""
    steps, seconds = Steps(work, device, record=record), []
    inputs = torch.from_numpy(work.inputs).to(device).float() / 255
    targets = torch.from_numpy(work.targets).to(device)
    orders = {key: torch.from_numpy(order).to(device) for key, order in work.orders.items()}
    received = [each.clone() for each in steps.parameters()]
    for done, cohort in enumerate(work.cohorts):
        started = time.perf_counter()
        total = sum(len(orders[done, int(client)]) for client in cohort)
        mean = [torch.zeros_like(each) for each in received]
        for client in cohort.tolist():
            order = orders[done, client]
            steps.begin(received)
            for batch in torch.split(order, work.batch_size):
                steps.take(inputs[batch], targets[batch])
            torch._foreach_add_(mean, steps.parameters(), alpha=len(order) / total)
        received = mean
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    steps.begin(received)
    return Timing(seconds, accuracy(steps.module.cpu(), work))
