"""What is trained: the workloads by name, each an ordinary config of fedstudy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from federated.config.run import RunConfig
from federated.user_code.source import allow, is_allowed


@dataclass(frozen=True)
class Workload:
    """A federated training to be timed.

    rounds: the number by default; the first is warm-up and is not timed. training: examples in all.
    settings: fields of the RunConfig. dataset: the function that loads it.
    """

    title: str
    rounds: int
    training: int
    settings: dict[str, Any]
    dataset: str = "benchmarks.data:fashion_mnist"

    def config(self, folder: Path, rounds: int | None = None, **changes: Any) -> RunConfig:
        """The run on the data in `folder`, on the CPU; `changes` replace fields.

        Its data set is code of the benchmarks' own, which is allowed here, as no study file states it.
        """
        if not is_allowed("benchmarks"):
            allow(["benchmarks"], Path())
        dataset = {
            "name": self.dataset,
            "folder": str(folder),
            "training": self.training,
        }
        return RunConfig.model_validate(
            {
                "dataset": dataset,
                "device": "cpu",
                "rounds": rounds or self.rounds,
                **self.settings,
                **changes,
            }
        )


def _local(batch_size: int, learning_rate: float, momentum: float = 0.0) -> dict[str, Any]:
    return {"epochs": 1, "batch_size": batch_size, "learning_rate": learning_rate, "momentum": momentum}


WORKLOADS: dict[str, Workload] = {
    "W1": Workload(
        "100 IID clients of 600, 2NN, 10 a round, batch 10, lr 0.05",
        20,
        60_000,
        {
            "clients": 100,
            "cohort": {"size": 10},
            "model": "mlp(hidden=[200, 200])",
            "local": _local(10, 0.05),
        },
    ),
    "W2": Workload(
        "10 clients Dir(0.5), LeNet cnn, all a round, batch 64, lr 0.01, momentum 0.9",
        4,
        60_000,
        {
            "clients": 10,
            "partitioner": "dirichlet(alpha=0.5)",
            "model": "cnn",
            "local": _local(64, 0.01, 0.9),
        },
    ),
    "W3": Workload(
        "1000 IID clients of 60, logistic regression, 100 a round, batch 10, lr 0.05",
        20,
        60_000,
        {"clients": 1000, "cohort": {"size": 100}, "model": "logistic", "local": _local(10, 0.05)},
    ),
    "W4": Workload(
        "10,000 IID clients of 20, logistic regression, 1000 a round, batch 10, lr 0.05",
        10,
        200_000,
        {"clients": 10_000, "cohort": {"size": 1000}, "model": "logistic", "local": _local(10, 0.05)},
    ),
}
