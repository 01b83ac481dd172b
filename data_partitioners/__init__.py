"""Partitioners: labels in, index arrays out. No torch. The registry is the table of contents."""

from collections.abc import Callable

from data_partitioners.by_client import by_client
from data_partitioners.by_cluster import by_cluster
from data_partitioners.by_column import by_column
from data_partitioners.classes_per_client import classes_per_client
from data_partitioners.client_dirichlet import client_dirichlet
from data_partitioners.compose import compose
from data_partitioners.dirichlet import dirichlet
from data_partitioners.distribution import distribution
from data_partitioners.from_file import from_file
from data_partitioners.grouped import grouped
from data_partitioners.hierarchical_dirichlet import hierarchical_dirichlet
from data_partitioners.iid import iid
from data_partitioners.label_noise import label_noise
from data_partitioners.label_permutation import label_permutation
from data_partitioners.log_normal_sizes import log_normal_sizes
from data_partitioners.noise import noise
from data_partitioners.partition import Partition, Partitioner, Pool, checked
from data_partitioners.partly_iid import partly_iid
from data_partitioners.power_law_sizes import power_law_sizes
from data_partitioners.quantity_dirichlet import quantity_dirichlet
from data_partitioners.rotation import rotation
from data_partitioners.shards import shards
from data_partitioners.sizes import sizes
from data_partitioners.skew import Skew
from data_partitioners.target_heterogeneity import target_heterogeneity
from data_partitioners.transform import Transform

PARTITIONERS: dict[str, Callable[..., Partitioner]] = {
    # which examples: labels
    "iid": iid,
    "dirichlet": dirichlet,
    "client_dirichlet": client_dirichlet,
    "hierarchical_dirichlet": hierarchical_dirichlet,
    "shards": shards,
    "classes_per_client": classes_per_client,
    "distribution": distribution,
    "partly_iid": partly_iid,
    # which examples: what the data say
    "by_client": by_client,
    "grouped": grouped,
    "by_column": by_column,
    "by_cluster": by_cluster,
    "from_file": from_file,
    # how many
    "sizes": sizes,
    "quantity_dirichlet": quantity_dirichlet,
    "log_normal_sizes": log_normal_sizes,
    "power_law_sizes": power_law_sizes,
    # what happens to them
    "noise": noise,
    "rotation": rotation,
    "label_permutation": label_permutation,
    "label_noise": label_noise,
    # several of these, or one aimed at a measured skew
    "compose": compose,
    "target_heterogeneity": target_heterogeneity,
}

__all__ = ["PARTITIONERS", "Partition", "Partitioner", "Pool", "Skew", "Transform", "checked"]
