"""Combinations that do not work: the statements of parts, and the table of those that clash."""

from federated.extension_points.clashes.by_example import OF_SINGLE_EXAMPLES
from federated.extension_points.clashes.statements import (
    AGGREGATOR,
    ALGORITHM,
    CANARIES,
    DOWNLINK,
    ENGINE,
    LOSS,
    MAX_NORM,
    MOMENTUM,
    OPTIMISER,
    PERSONALISATION,
    PRIVACY,
    SAMPLING,
    SERVER_SCHEDULE,
    TRANSPORT,
    UPLINK,
    WEIGHTING,
    Clash,
    Side,
    States,
)
from federated.extension_points.clashes.table import CLASHES

EVERY_CLASH = (*CLASHES, *OF_SINGLE_EXAMPLES)

__all__ = [
    "AGGREGATOR",
    "ALGORITHM",
    "CANARIES",
    "CLASHES",
    "DOWNLINK",
    "ENGINE",
    "EVERY_CLASH",
    "LOSS",
    "MAX_NORM",
    "MOMENTUM",
    "OPTIMISER",
    "PERSONALISATION",
    "PRIVACY",
    "SAMPLING",
    "SERVER_SCHEDULE",
    "TRANSPORT",
    "UPLINK",
    "WEIGHTING",
    "Clash",
    "Side",
    "States",
]
