"""Data sets by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.datasets.arrays import arrays
from federated.datasets.digits import digits
from federated.datasets.idx import idx
from federated.datasets.images import images
from federated.datasets.linear import linear
from federated.datasets.openml import openml
from federated.datasets.table import table
from federated.datasets.text import text
from federated.datasets.text_files.next_token import next_token
from federated.datasets.windows import windows
from federated.examples.examples import Examples
from federated.examples.user_data import as_examples

DATASETS: dict[str, Callable[..., Callable[[], Examples]]] = {
    "digits": digits,
    "linear": linear,
    "idx": idx,
    "table": table,
    "text": text,
    "next_token": next_token,
    "images": images,
    "arrays": arrays,
    "openml": openml,
    "windows": windows,
}

__all__ = ["DATASETS", "Examples", "as_examples"]
