"""The kinds of training, and what each decides. The field `training` of a run names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

TrainingName = Literal["federated", "centralised", "local"]
Anchor = Literal["centralised", "local"]

ANCHORS: tuple[Anchor, ...] = get_args(Anchor)


@dataclass(frozen=True)
class TrainingKind:
    """The properties of a kind of training.

    has_server: updates meet at a server, so bytes are sent, and what a server does has an effect.
    pools_examples: one holder trains on the training examples of all clients.
    own_models: each client trains a model of its own, with which it is evaluated.
    """

    has_server: bool = False
    pools_examples: bool = False
    own_models: bool = False


TRAINING_KINDS: Mapping[TrainingName, TrainingKind] = {
    "federated": TrainingKind(has_server=True),
    "centralised": TrainingKind(pools_examples=True),
    "local": TrainingKind(own_models=True),
}
