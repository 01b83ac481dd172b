"""The part of a model that is trained, by name; everything else is frozen. The registry is the table of contents."""

from collections.abc import Callable

from federated.trained.bias import bias
from federated.trained.full import full
from federated.trained.head import head
from federated.trained.last import last
from federated.trained.lora import lora
from federated.trained.part import TrainedPart
from federated.trained.pattern import pattern

TRAINED: dict[str, Callable[..., TrainedPart]] = {
    "full": full,
    "head": head,
    "last": last,
    "bias": bias,
    "pattern": pattern,
    "lora": lora,
}

__all__ = ["TRAINED", "TrainedPart"]
