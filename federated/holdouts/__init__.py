"""Rules by which examples are held out, by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.holdouts.column import column
from federated.holdouts.groups import groups
from federated.holdouts.random import random
from federated.holdouts.rule import FittedRule, HoldoutRule, SetName, Split
from federated.holdouts.time import time

HOLDOUTS: dict[str, Callable[..., HoldoutRule]] = {
    "random": random,
    "time": time,
    "column": column,
    "groups": groups,
}

__all__ = ["HOLDOUTS", "FittedRule", "HoldoutRule", "SetName", "Split"]
