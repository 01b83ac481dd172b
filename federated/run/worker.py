"""A worker: what one process trains clients with."""

from __future__ import annotations

from dataclasses import dataclass

from data_partitioners import Partition
from federated.config.run import RunConfig
from federated.local_training import LocalTrainer
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel
from federated.trials import Parts


@dataclass(frozen=True, eq=False)
class Worker:
    """The examples, the model and the engine of one process, and the parts that handle a shard. It never travels.

    Two workers prepared from one config do the same, to the bit. holders: the training examples of each.
    """

    config: RunConfig
    holders: Partition
    parts: Parts
    work: LocalWork
    train: LocalTrainer

    @property
    def model(self) -> FlatModel:
        """The model before the first round; never changed."""
        return self.work.model
