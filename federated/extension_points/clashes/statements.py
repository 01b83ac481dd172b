"""The words in which parts say what does not go together: fields, and the statements of the parts in them."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from federated.algorithms import Need
from federated.compressors import Trait

ALGORITHM, AGGREGATOR, PRIVACY, TRANSPORT = "algorithm", "aggregator", "privacy", "transport"
SERVER_SCHEDULE, ENGINE = "server_schedule", "engine.name"
UPLINK, DOWNLINK = "compression.uplink", "compression.downlink"
UPLINK_BESIDE, DOWNLINK_BESIDE = "compression.uplink_beside", "compression.downlink_beside"
WEIGHTING, SAMPLING = "cohort.weighting", "cohort.sampling"
OPTIMISER = "local.optimiser"
MOMENTUM = "local.momentum"
MAX_NORM = "local.max_gradient_norm"
LOSS = "loss"
PERSONALISATION = "evaluation.personalisation"
CANARIES = "privacy.canaries"


class States(Enum):
    """Statements of a part about itself, besides the traits of a compressor."""

    VOTES = "an algorithm: the updates must be votes"
    SENDS_BESIDE = "an algorithm: clients send more than their updates"
    SEVERAL_MODELS = "an algorithm: the server has a model for each cluster of clients"
    CLIENTS_CHOOSE = "an algorithm: clients choose among several models"
    READS_EACH = "an algorithm: the server reads every client's update"
    KEEPS_PARAMETERS = "an algorithm: each client has a model of its own, whole or in part"
    LOOKS_FIRST = "an algorithm: clients tell the loss or the gradient of their examples beside their steps"
    TRAINS_TWICE = "an algorithm: clients train a second model on the same batches"
    ADDS_ALONE = (
        "an algorithm: the server adds the update as it is, and no part remembers any of the coordinates"
    )
    READS_GRADIENTS = "an algorithm: it takes the clients' moves for sums of their gradients"
    OF_PRODUCTS = "an aggregator: it says what becomes of low-rank adapters by the mean of their products"
    LINEAR = "an aggregator: the shards of a cohort can be added up"
    BOUNDS = "a privacy mechanism: it bounds the updates"
    RELEASES = "a privacy mechanism: it changes the cohort's sum, by as much as a sum needs"
    BOUNDS_AGAIN = "a privacy mechanism: the server bounds what it decodes"
    OF_EXAMPLES = "a privacy mechanism: it protects single examples of a client, and not all of them together"
    GUARANTEES = "a privacy mechanism: it guarantees something to whole clients"
    PER_EXAMPLE = "a privacy mechanism: it bounds the gradient of each example"
    TELLS = "a privacy mechanism: clients tell more than their updates"
    SUM_ALONE = "a transport: the server can read the sum alone"
    OWN_CODEC = "a transport: what it adds up are no payloads of the uplink's codec"
    ROUNDS = "a transport: it makes integers of updates"
    WEIGHS = "a transport: it adds up updates by whole numbers of examples"
    IN_SUM = "a privacy mechanism: its clients add noise to integers that only a sum shows"
    COMPRESSES = "a codec: it is not none"
    LEAVES_OUT = "a sampling: with a cohort of all, some may be left out or lost"
    BY_EXAMPLES = "a weighting: clients count by their examples"
    ALONG_GRADIENTS = "an optimiser: its steps are gradients times a rate, or what momentum gathers of them"
    ABOVE_ZERO = "a number: it is above zero"
    MANY_AT_ONCE = "an engine: it trains many clients at once"
    CHANGES = "a schedule: it is not constant"
    ASKED_FOR = "a section or a bound: the study states it"
    COUNTS = "a loss: its weights are counts of the training examples"
    SMOOTHS = "a loss: every target has a share of every class"
    NEGATIVE = "a loss: it can be below zero"


class Side(NamedTuple):
    """A part, by its field, that states something; has False: that does not state it."""

    field: str
    stated: States | Trait | Need
    has: bool = True


class Clash(NamedTuple):
    """Sides that do not go together, and why."""

    sides: tuple[Side, ...]
    why: str
