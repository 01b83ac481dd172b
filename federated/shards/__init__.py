"""Shards: part of a cohort, trained wherever a worker is. An order goes in, a report comes out, both plain values."""

from federated.run.clients.order import ShardOrder
from federated.shards.report import ShardReport
from federated.shards.shard import (
    ShardRunner,
    ShardTrainer,
    in_this_process,
    run_shard,
    train,
    trained_in_this_process,
)

__all__ = [
    "ShardOrder",
    "ShardReport",
    "ShardRunner",
    "ShardTrainer",
    "in_this_process",
    "run_shard",
    "train",
    "trained_in_this_process",
]
