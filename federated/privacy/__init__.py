"""Privacy mechanisms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.privacy.central_gaussian import central_gaussian
from federated.privacy.clip import clip
from federated.privacy.distributed.distributed_gaussian import distributed_gaussian
from federated.privacy.dp_sgd import dp_sgd
from federated.privacy.local.local_gaussian import local_gaussian
from federated.privacy.local.local_laplace import local_laplace
from federated.privacy.matrix.dp_ftrl import dp_ftrl
from federated.privacy.none import none
from federated.privacy.per_example import PerExample
from federated.privacy.privacy import (
    Bounded,
    Gathered,
    InSum,
    LocalSteps,
    Memory,
    Participated,
    Privacy,
    Summed,
)

PRIVACY: dict[str, Callable[..., Privacy]] = {
    "none": none,
    "clip": clip,
    # the server's noise on the sum
    "central_gaussian": central_gaussian,
    # every client's own noise
    "local_gaussian": local_gaussian,
    "local_laplace": local_laplace,
    # the noise of all clients together
    "distributed_gaussian": distributed_gaussian,
    # noise correlated over rounds
    "dp_ftrl": dp_ftrl,
    "dp_sgd": dp_sgd,
}

__all__ = [
    "PRIVACY",
    "Bounded",
    "Gathered",
    "InSum",
    "LocalSteps",
    "Memory",
    "Participated",
    "PerExample",
    "Privacy",
    "Summed",
]
