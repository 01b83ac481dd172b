"""The check of combinations of parts that do not work: what each part states, against the table of clashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, ClientHalf, Need
from federated.choices.choice import Choice
from federated.compressors import Compressor, Trait
from federated.extension_points.clashes import EVERY_CLASH
from federated.extension_points.clashes.statements import (
    AGGREGATOR,
    ALGORITHM,
    CANARIES,
    DOWNLINK,
    DOWNLINK_BESIDE,
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
    UPLINK_BESIDE,
    WEIGHTING,
    States,
)
from federated.losses import Loss
from federated.losses.of_classes.class_weights import counts_classes
from federated.optimisers import Optimiser
from federated.participation import Participation, SamplingLaw
from federated.privacy import Privacy
from federated.transports import Transport


def _of_algorithm(algorithm: Algorithm) -> dict[States | Need, bool]:
    return {
        **dict.fromkeys(algorithm.needs, True),
        States.VOTES: algorithm.votes,
        States.READS_GRADIENTS: algorithm.client.reads_gradients,
        States.LOOKS_FIRST: algorithm.client.at_start != "nothing",
        States.TRAINS_TWICE: algorithm.client.second is not None,
        States.SENDS_BESIDE: bool(algorithm.client.sends),
        States.SEVERAL_MODELS: algorithm.clusters is not None,
        States.CLIENTS_CHOOSE: algorithm.clusters is not None and algorithm.clusters.chosen_by_clients,
        States.READS_EACH: algorithm.clusters is not None and not algorithm.clusters.chosen_by_clients,
        States.KEEPS_PARAMETERS: algorithm.client.personalises,
        States.ADDS_ALONE: algorithm.adds and algorithm.client.init is ClientHalf().init,
    }


def _of_aggregator(aggregator: Aggregator) -> dict[States, bool]:
    return {
        States.LINEAR: aggregator.linear,
        States.OF_PRODUCTS: aggregator.of_products is not None,
    }


def _of_compressor(compressor: Compressor) -> dict[Trait | States, bool]:
    compresses = compressor.parts is None or any(compressor.parts)
    return {**dict.fromkeys(compressor.traits, True), States.COMPRESSES: compresses}


def _of_privacy(privacy: Privacy) -> dict[States, bool]:
    return {
        States.BOUNDS: privacy.bound is not None,
        States.RELEASES: privacy.release is not None,
        States.IN_SUM: privacy.in_sum is not None,
        States.BOUNDS_AGAIN: privacy.bound_again is not None,
        States.OF_EXAMPLES: privacy.unit == "example",
        States.GUARANTEES: privacy.guarantee is not None and privacy.unit != "example",
        States.PER_EXAMPLE: privacy.per_example is not None,
        States.TELLS: bool(privacy.tells),
    }


def _of_transport(transport: Transport) -> dict[States, bool]:
    return {
        States.SUM_ALONE: transport.reveals == "sum",
        States.OWN_CODEC: transport.protocol is not None,
        States.ROUNDS: transport.protocol is not None and transport.protocol.codec is not None,
        States.WEIGHS: transport.protocol is not None and transport.protocol.weighs,
    }


def _of_sampling(participation: Participation) -> dict[States, bool]:
    fixed = participation.law is SamplingLaw.FIXED_SIZE and not participation.losses
    return {States.LEAVES_OUT: not fixed}


def _of_loss(loss: Any) -> dict[States, bool]:
    """loss: None where none is stated; a function of a person's own says nothing of itself."""
    known = isinstance(loss, Loss)
    counts = known and (loss.learn is not None or counts_classes(loss.weigh))
    return {
        States.SMOOTHS: known and loss.smooths,
        States.NEGATIVE: known and loss.negative,
        States.COUNTS: counts,
    }


def _of_optimiser(optimiser: Optimiser) -> dict[States, bool]:
    return {States.ALONG_GRADIENTS: optimiser.direction is None}


_STATED: dict[str, Callable[[Any], Mapping[Any, bool]]] = {
    ALGORITHM: _of_algorithm,
    AGGREGATOR: _of_aggregator,
    UPLINK: _of_compressor,
    DOWNLINK: _of_compressor,
    UPLINK_BESIDE: _of_compressor,
    DOWNLINK_BESIDE: _of_compressor,
    PRIVACY: _of_privacy,
    TRANSPORT: _of_transport,
    OPTIMISER: _of_optimiser,
    LOSS: _of_loss,
    SAMPLING: _of_sampling,
    WEIGHTING: lambda weighting: {States.BY_EXAMPLES: weighting == "examples"},
    SERVER_SCHEDULE: lambda schedule: {States.CHANGES: schedule != "constant"},
    ENGINE: lambda name: {States.MANY_AT_ONCE: name == "vectorised"},
    MOMENTUM: lambda momentum: {States.ABOVE_ZERO: momentum > 0},
    CANARIES: lambda count: {States.ABOVE_ZERO: count > 0},
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
    for clash in EVERY_CLASH:
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
    return f"{field}: {part}" if isinstance(part, str | float | int) else field
