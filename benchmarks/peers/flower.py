"""Flower's simulation: Ray, two workers of one thread each; its own FedAvg aggregates."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import Tensor, nn

from benchmarks.peers.handed import Handed, answer, read
from benchmarks.peers.torch_model import accuracy, initial_module, loaded

WORKERS = 2


class GivenCohorts(FedAvg):  # type: ignore[misc]
    """Flower's FedAvg with the cohorts it is given: there are as many nodes as clients in a round."""

    def __init__(self, path: str, work: Handed) -> None:
        nodes = work.cohorts.shape[1]
        super().__init__(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
        self.path, self.cohorts = path, work.cohorts
        self.times: list[float] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message for each client of the round's cohort."""
        self.times.append(time.perf_counter())
        cohort = self.cohorts[server_round - 1].tolist()
        return [
            self._message(arrays, node, client)
            for node, client in zip(_nodes(grid, cohort), cohort, strict=True)
        ]

    def _message(self, arrays: ArrayRecord, node: int, client: int) -> Message:
        content = {"arrays": arrays, "config": ConfigRecord({"client": client, "path": self.path})}
        return Message(RecordDict(content), node, "train")


def _nodes(grid: Grid, cohort: list[int]) -> list[int]:
    """The nodes, as soon as all are there."""
    while len(nodes := list(grid.get_node_ids())) < len(cohort):
        time.sleep(0.05)
    return nodes[: len(cohort)]


client_app = ClientApp()


@client_app.train()  # type: ignore[untyped-decorator]
def train(message: Message, context: Context) -> Message:
    """One epoch on one client's examples."""
    torch.set_num_threads(1)
    config = message.content["config"]
    work, inputs, targets, module = loaded(str(config["path"]))
    module.load_state_dict(message.content["arrays"].to_torch_state_dict())
    held = torch.from_numpy(work.clients[int(config["client"])])
    _train_epoch(module, work, inputs, targets, held[torch.randperm(len(held))])
    content = {
        "arrays": ArrayRecord(module.state_dict()),
        "metrics": MetricRecord({"num-examples": len(held)}),
    }
    return Message(RecordDict(content), reply_to=message)


def _train_epoch(module: nn.Module, work: Handed, inputs: Tensor, targets: Tensor, order: Tensor) -> None:
    optimiser = torch.optim.SGD(module.parameters(), lr=work.learning_rate, momentum=work.momentum)
    module.train()
    for batch in torch.split(order, work.batch_size):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(module(inputs[batch]), targets[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def main(path: str) -> None:
    """Train all rounds; the first, in which Ray starts its workers, is warm-up."""
    work = read(path)
    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def serve(grid: Grid, context: Context) -> None:
        strategy, module = GivenCohorts(path, work), initial_module(work)
        result = strategy.start(grid, ArrayRecord(module.state_dict()), num_rounds=len(work.cohorts))
        times = [*strategy.times, time.perf_counter()]
        module.load_state_dict(result.arrays.to_torch_state_dict())
        seconds = [after - before for before, after in pairwise(times)]
        answer(seconds, accuracy(module, work))

    backend: dict[str, Any] = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"num_cpus": WORKERS},
    }
    run_simulation(app, client_app, num_supernodes=work.cohorts.shape[1], backend_config=backend)


if __name__ == "__main__":
    main(sys.argv[1])
