"""The memory of a round's clients, stored shard by shard, so that no more than one is held beside it."""

from __future__ import annotations

from collections.abc import Iterable

from federated.machine.memory import give_back
from federated.machine.tensors.spilling import Spilling
from federated.run.memory import ClientMemory, stored
from federated.shards.report import ShardReport


def remembering(store: Spilling, done: Iterable[ShardReport]) -> tuple[list[ShardReport], list[ClientMemory]]:
    """(the reports without memory, the memory of each, in the store). Raises BadInput where there is no room for it."""
    reports, remembered = list[ShardReport](), list[ClientMemory]()
    for report in done:
        if reports and any(report.memory.values()):
            give_back()
        remembered.append(stored(report.memory, report.clients, store))
        reports.append(report._replace(memory={}))
    return reports, remembered
