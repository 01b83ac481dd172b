"""Combinations of parts that do not work: statements of each part, the table of clashes, and one check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any, NamedTuple

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, ClientHalf, Need
from federated.choices.choice import Choice
from federated.compressors import Compressor, Trait
from federated.losses import Loss
from federated.optimisers import Optimiser
from federated.privacy import Privacy
from federated.transports import Transport

ALGORITHM, AGGREGATOR, PRIVACY, TRANSPORT = "algorithm", "aggregator", "privacy", "transport"
SERVER_SCHEDULE, ENGINE = "server_schedule", "engine.name"
UPLINK, DOWNLINK = "compression.uplink", "compression.downlink"
WEIGHTING = "cohort.weighting"
OPTIMISER = "local.optimiser"
MOMENTUM = "local.momentum"
MAX_NORM = "local.max_gradient_norm"
LOSS = "loss"
PERSONALISATION = "evaluation.personalisation"


class States(Enum):
    """Statements of a part about itself, besides the traits of a compressor."""

    VOTES = "an algorithm: the updates must be votes"
    SENDS_BESIDE = "an algorithm: clients send more than their updates"
    KEEPS_PARAMETERS = "an algorithm: each client has parameters of its own"
    READS_GRADIENTS = "an algorithm: it takes the clients' moves for sums of their gradients"
    LINEAR = "an aggregator: the shards of a cohort can be added up"
    BOUNDS = "a privacy mechanism: it bounds the updates"
    RELEASES = "a privacy mechanism: it changes the cohort's sum, by as much as a sum needs"
    TELLS = "a privacy mechanism: clients tell more than their updates"
    SUM_ALONE = "a transport: the server can read the sum alone"
    BY_EXAMPLES = "a weighting: clients count by their examples"
    ALONG_GRADIENTS = "an optimiser: its steps are gradients times a rate, or what momentum gathers of them"
    ABOVE_ZERO = "a number: it is above zero"
    MANY_AT_ONCE = "an engine: it trains many clients at once"
    CHANGES = "a schedule: it is not constant"
    ASKED_FOR = "a section or a bound: the study states it"
    SMOOTHS = "a loss: every target has a share of every class"


class Side(NamedTuple):
    """A part, by its field, that states something; has False: that does not state it."""

    field: str
    stated: States | Trait | Need
    has: bool = True


class Clash(NamedTuple):
    """Sides that do not go together, and why."""

    sides: tuple[Side, ...]
    why: str


CLASHES = (
    Clash(
        (Side(DOWNLINK, Trait.WHOLE_MODEL, False), Side(DOWNLINK, Trait.DIFFERENCE, False)),
        "it would damage a whole model, which is what the server broadcasts; use none, float16, bfloat16 or "
        "difference(...)",
    ),
    Clash(
        (Side(UPLINK, Trait.DIFFERENCE),),
        "an update is a difference already; difference is for the downlink",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(UPLINK, Trait.VOTES, False)),
        "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES, False), Side(UPLINK, Trait.VOTES)),
        "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(AGGREGATOR, States.LINEAR, False)),
        "votes are counted by their sum, so only mean goes with them",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(AGGREGATOR, States.LINEAR, False)),
        "what its clients send beside their updates is averaged, so a single client could still move the model at will",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(PRIVACY, States.BOUNDS)),
        "its clients send more than their updates, and the mechanism bounds the updates alone",
    ),
    Clash(
        (Side(ALGORITHM, States.SENDS_BESIDE), Side(PRIVACY, States.RELEASES)),
        "its clients send more than their updates, and the mechanism releases the updates alone",
    ),
    Clash(
        (Side(AGGREGATOR, States.LINEAR, False), Side(PRIVACY, States.TELLS)),
        "what clients tell is averaged, so a single client could still move the mechanism at will",
    ),
    Clash(
        (Side(AGGREGATOR, States.LINEAR, False), Side(PRIVACY, States.RELEASES)),
        "the mechanism works on a sum of updates, so only mean goes with it",
    ),
    Clash(
        (Side(ALGORITHM, States.VOTES), Side(PRIVACY, States.RELEASES)),
        "the mechanism changes the sum that the votes are counted by",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(AGGREGATOR, States.LINEAR, False)),
        "the rule needs every update, and the server reads their sum alone",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(UPLINK, Trait.ADDITIVE, False)),
        "the server reads a sum of payloads, and those of this codec cannot be added up",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(ALGORITHM, States.SENDS_BESIDE)),
        "what its clients send beside their updates could be read of each",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(PRIVACY, States.TELLS)),
        "what clients tell could be read of each",
    ),
    Clash(
        (Side(TRANSPORT, States.SUM_ALONE), Side(WEIGHTING, States.BY_EXAMPLES)),
        "the server cannot weigh updates that it reads as a sum; state cohort.weighting: uniform",
    ),
    Clash(
        (Side(ALGORITHM, States.READS_GRADIENTS), Side(OPTIMISER, States.ALONG_GRADIENTS, False)),
        "it takes how far a client moved for a sum of its gradients, which only steps of sgd are; use sgd, or another "
        "algorithm",
    ),
    Clash(
        (Side(ALGORITHM, Need.NO_MOMENTUM), Side(MOMENTUM, States.ABOVE_ZERO)),
        "its rule is for steps without momentum of their own; leave local.momentum at 0",
    ),
    Clash(
        (Side(ALGORITHM, Need.NO_CLIPPING), Side(MAX_NORM, States.ASKED_FOR)),
        "its clients send gradients that the bound does not hold for, and steps by both would not be of its rule; "
        "leave local.max_gradient_norm out",
    ),
    Clash(
        (Side(ALGORITHM, Need.OWN_CLASSES), Side(LOSS, States.SMOOTHS)),
        "the margins of classes that a client does not hold are so large that label smoothing would push their outputs "
        "without end; leave label_smoothing at 0",
    ),
    Clash(
        (Side(ALGORITHM, Need.SUM), Side(AGGREGATOR, States.LINEAR, False)),
        "its server must remember the sum of what its clients remember, so only mean goes with it",
    ),
    Clash(
        (Side(ALGORITHM, Need.SUM), Side(PRIVACY, States.RELEASES)),
        "its server adds up all rounds, so the mechanism's changes would add up without end",
    ),
    Clash(
        (Side(ALGORITHM, Need.LOOP), Side(ENGINE, States.MANY_AT_ONCE)),
        "its clients are trained one at a time; use auto or loop",
    ),
    Clash(
        (Side(ALGORITHM, Need.WHOLE_MOVE), Side(SERVER_SCHEDULE, States.CHANGES)),
        "its server goes to a point and takes no step that a rate could shorten; leave server_schedule out",
    ),
    Clash(
        (Side(ALGORITHM, States.KEEPS_PARAMETERS), Side(PERSONALISATION, States.ASKED_FOR)),
        "each client has its own model already: leave evaluation.personalisation out",
    ),
)
"""A row for each; the first that is found is reported."""


def _of_algorithm(algorithm: Algorithm) -> dict[States | Need, bool]:
    return {
        **dict.fromkeys(algorithm.needs, True),
        States.VOTES: algorithm.votes,
        States.READS_GRADIENTS: algorithm.client.reads_gradients,
        States.SENDS_BESIDE: bool(algorithm.client.sends),
        States.KEEPS_PARAMETERS: algorithm.client.stays is not ClientHalf().stays,
    }


def _of_aggregator(aggregator: Aggregator) -> dict[States, bool]:
    return {States.LINEAR: aggregator.linear}


def _of_compressor(compressor: Compressor) -> dict[Trait, bool]:
    return dict.fromkeys(compressor.traits, True)


def _of_privacy(privacy: Privacy) -> dict[States, bool]:
    return {
        States.BOUNDS: privacy.bound is not None,
        States.RELEASES: privacy.release is not None,
        States.TELLS: bool(privacy.tells),
    }


def _of_transport(transport: Transport) -> dict[States, bool]:
    return {States.SUM_ALONE: transport.reveals == "sum"}


def _of_loss(loss: Any) -> dict[States, bool]:
    """loss: None where none is stated; a function of a person's own says nothing of itself."""
    return {States.SMOOTHS: isinstance(loss, Loss) and loss.smooths}


def _of_optimiser(optimiser: Optimiser) -> dict[States, bool]:
    return {States.ALONG_GRADIENTS: optimiser.direction is None}


_STATED: dict[str, Callable[[Any], Mapping[Any, bool]]] = {
    ALGORITHM: _of_algorithm,
    AGGREGATOR: _of_aggregator,
    UPLINK: _of_compressor,
    DOWNLINK: _of_compressor,
    PRIVACY: _of_privacy,
    TRANSPORT: _of_transport,
    OPTIMISER: _of_optimiser,
    LOSS: _of_loss,
    WEIGHTING: lambda weighting: {States.BY_EXAMPLES: weighting == "examples"},
    SERVER_SCHEDULE: lambda schedule: {States.CHANGES: schedule != "constant"},
    ENGINE: lambda name: {States.MANY_AT_ONCE: name == "vectorised"},
    MOMENTUM: lambda momentum: {States.ABOVE_ZERO: momentum > 0},
    MAX_NORM: lambda norm: {States.ASKED_FOR: norm is not None},
    PERSONALISATION: lambda section: {States.ASKED_FOR: section is not None},
}


def check_together(parts: Mapping[str, Any], *, run_own_code: bool = False) -> None:
    """Raise ValueError where parts of a run do not go together. parts: field -> its choice, or its section or None.

    What is a person's own is looked at only with `run_own_code`.
    """
    known = {
        field: _stated(field, part)
        for field, part in parts.items()
        if run_own_code or not (isinstance(part, Choice) and part.own_code())
    }
    for clash in CLASHES:
        if all(
            side.field in known and (side.stated in known[side.field]) is side.has for side in clash.sides
        ):
            fields = dict.fromkeys(side.field for side in clash.sides)
            raise ValueError(f"{' with '.join(_shown(field, parts[field]) for field in fields)}: {clash.why}")


def _stated(field: str, part: Any) -> Collection[States | Trait | Need]:
    made = part.build() if isinstance(part, Choice) else part
    return {what for what, holds in _STATED[field](made).items() if holds}


def _shown(field: str, part: Any) -> str:
    if isinstance(part, Choice):
        return f"{field}: {part.label()}"
    return f"{field}: {part}" if isinstance(part, str | float) else field
