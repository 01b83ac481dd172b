"""Who gets what: labels in, index arrays out. Pure numpy. The registry is the table of contents."""

from collections.abc import Callable

from data_partitioners.by_client import by_client
from data_partitioners.dirichlet import dirichlet
from data_partitioners.from_file import from_file
from data_partitioners.iid import iid
from data_partitioners.partition import Partition, Partitioner, Pool, checked
from data_partitioners.target_heterogeneity import target_heterogeneity

PARTITIONERS: dict[str, Callable[..., Partitioner]] = {
    "iid": iid,
    "dirichlet": dirichlet,
    "by_client": by_client,
    "from_file": from_file,
    "target_heterogeneity": target_heterogeneity,
}

__all__ = ["PARTITIONERS", "Partition", "Partitioner", "Pool", "checked"]
