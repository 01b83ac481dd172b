"""The extension points: the registry behind each field of a study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from data_partitioners import PARTITIONERS, Partitioner
from data_partitioners.by_cluster import Encoder
from federated.aggregators import AGGREGATORS, Aggregator
from federated.algorithms import ALGORITHMS, Algorithm
from federated.algorithms.schedules import SCHEDULES, Schedule
from federated.choices.choice import Choice, Kind, choice_of
from federated.choices.schema import schema_of
from federated.compressors import COMPRESSORS, Compressor, Trait
from federated.datasets import DATASETS
from federated.extension_points.contracts import (
    held_aggregator,
    held_algorithm,
    held_compressor,
    held_participation,
    held_schedule,
)
from federated.extension_points.holdout_contract import held_holdout
from federated.extension_points.measure_contract import held_measure
from federated.extension_points.optimiser_contract import held_optimiser
from federated.extension_points.privacy_contract import held_privacy
from federated.extension_points.transport_contract import held_transport
from federated.holdouts import HOLDOUTS, HoldoutRule
from federated.losses import LOSSES, Loss
from federated.metrics.measures import MEASURES, Measure
from federated.models import MODELS, Model
from federated.networks import NETWORKS, Network
from federated.optimisers import OPTIMISERS, Optimiser
from federated.participation import PARTICIPATION, Participation
from federated.privacy import PRIVACY, Privacy
from federated.trained import TRAINED, TrainedPart
from federated.transports import TRANSPORTS, Transport
from federated.user_code.source import roots_of

DATASET = Kind("dataset", DATASETS, given=())
ENCODER: Kind[Any] = Kind("encoder", {}, product=Encoder, given=("inputs",))
PARTITIONER: Kind[Partitioner] = Kind(
    "partitioner",
    PARTITIONERS,
    product=Partitioner,
    given=("pool", "num_clients", "generator"),
    several=("compose", "parts"),
    others=(ENCODER,),
)
HOLDOUT: Kind[HoldoutRule] = Kind("holdout", HOLDOUTS, product=HoldoutRule, held=held_holdout)
MODEL: Kind[Model] = Kind("model", MODELS, given=("input_shape", "num_outputs"))
TRAINED_PART: Kind[TrainedPart] = Kind("trained part", TRAINED, given=("module",))
LOSS: Kind[Loss] = Kind("loss", LOSSES, product=Loss, given=("outputs", "targets"))
ALGORITHM: Kind[Algorithm] = Kind("algorithm", ALGORITHMS, product=Algorithm, held=held_algorithm)
AGGREGATOR: Kind[Aggregator] = Kind("aggregator", AGGREGATORS, product=Aggregator, held=held_aggregator)
COMPRESSOR: Kind[Compressor] = Kind(
    "compressor",
    COMPRESSORS,
    product=Compressor,
    held=held_compressor,
    renamed={
        trait.name.lower(): f"traits=frozenset({{Trait.{trait.name}}}), with Trait from federated.compressors"
        for trait in Trait
    },
)
SAMPLING: Kind[Participation] = Kind(
    "sampling", PARTICIPATION, product=Participation, held=held_participation
)
PRIVACY_MECHANISM: Kind[Privacy] = Kind(
    "privacy",
    PRIVACY,
    product=Privacy,
    held=held_privacy,
    renamed={
        "clip": "bound, a function of (memory, updates, numbers) that returns Bounded(updates, changed)",
        "event": "guarantee, a function of Participated that returns an event of dp_accounting",
    },
)
TRANSPORT: Kind[Transport] = Kind("transport", TRANSPORTS, product=Transport, held=held_transport)
OPTIMISER: Kind[Optimiser] = Kind("optimiser", OPTIMISERS, product=Optimiser, held=held_optimiser)
SCHEDULE: Kind[Schedule] = Kind("schedule", SCHEDULES, held=held_schedule)
METRIC: Kind[Measure] = Kind("metric", MEASURES, product=Measure, held=held_measure)
NETWORK: Kind[Network] = Kind("network", NETWORKS, product=Network)

KINDS = (
    DATASET,
    PARTITIONER,
    HOLDOUT,
    MODEL,
    TRAINED_PART,
    LOSS,
    ALGORITHM,
    AGGREGATOR,
    COMPRESSOR,
    SAMPLING,
    PRIVACY_MECHANISM,
    TRANSPORT,
    OPTIMISER,
    SCHEDULE,
    METRIC,
    NETWORK,
)

DatasetChoice = choice_of(DATASET)
PartitionerChoice = choice_of(PARTITIONER)
HoldoutChoice = choice_of(HOLDOUT)
ModelChoice = choice_of(MODEL)
TrainedChoice = choice_of(TRAINED_PART)
AlgorithmChoice = choice_of(ALGORITHM)
AggregatorChoice = choice_of(AGGREGATOR)
CompressorChoice = choice_of(COMPRESSOR)
SamplingChoice = choice_of(SAMPLING)
TransportChoice = choice_of(TRANSPORT)
PrivacyChoice = choice_of(PRIVACY_MECHANISM)
OptimiserChoice = choice_of(OPTIMISER)
ScheduleChoice = choice_of(SCHEDULE)


def _network_or_none(value: Any, info: ValidationInfo) -> Choice | None:
    """A network, or none; a mapping without a name is a `link`."""
    if isinstance(value, Mapping) and "name" not in value:
        value = {"name": "link", **value}
    return None if value is None else NETWORK.bind(value, roots_of(info.context))


def _loss_or_none(value: Any, info: ValidationInfo) -> Choice | None:
    return None if value is None else LOSS.bind(value, roots_of(info.context))


def _or_null(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]})


_OF_LOSS = schema_of(LOSS.name, sorted(LOSS.factories), also_several=False)
LossChoice = Annotated[Choice | None, BeforeValidator(_loss_or_none), LOSS, _or_null(_OF_LOSS)]


def _compressor_or_none(value: Any, info: ValidationInfo) -> Choice | None:
    return None if value is None else COMPRESSOR.bind(value, roots_of(info.context))


_OF_COMPRESSOR = schema_of(COMPRESSOR.name, sorted(COMPRESSOR.factories), also_several=False)
BesideChoice = Annotated[
    Choice | None, BeforeValidator(_compressor_or_none), COMPRESSOR, _or_null(_OF_COMPRESSOR)
]

_OF_NETWORK = schema_of(NETWORK.name, sorted(NETWORK.factories), also_several=False)
NetworkChoice = Annotated[
    Choice | None,
    BeforeValidator(_network_or_none),
    NETWORK,
    _or_null(_OF_NETWORK),
]


def _metrics_or_none(value: Any, info: ValidationInfo) -> tuple[Choice, ...] | None:
    """One measure or several; the first is the main one."""
    if value is None:
        return None
    several = value if isinstance(value, list | tuple) else [value]
    if not several:
        raise ValueError("state one measure or several, or null")
    return tuple(METRIC.bind(each, roots_of(info.context)) for each in several)


_OF_METRIC = schema_of(METRIC.name, sorted(METRIC.factories), also_several=True)
MetricChoices = Annotated[
    tuple[Choice, ...] | None, BeforeValidator(_metrics_or_none), METRIC, _or_null(_OF_METRIC)
]
