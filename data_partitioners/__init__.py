"""Who gets what: labels in, index arrays out. Pure numpy. The registry is the table of contents."""

from collections.abc import Callable

from data_partitioners.by_client import by_client
from data_partitioners.dirichlet import dirichlet
from data_partitioners.iid import iid
from data_partitioners.partition import Partition, Partitioner, Pool, checked

PARTITIONERS: dict[str, Callable[..., Partitioner]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "by_client": by_client,
}

__all__ = ["PARTITIONERS", "Partition", "Partitioner", "Pool", "checked"]
