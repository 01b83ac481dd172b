"""The parts built from a run's choices, fitted to its model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data_partitioners.heterogeneity import label_counts
from federated.algorithms import Algorithm, Holdings
from federated.algorithms.travelling import Travelling, travelling
from federated.choices.choice import Choice
from federated.compressors import Compressor, Trait
from federated.compressors.none import none
from federated.compressors.parts import Layout
from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.models.flat_model import FlatModel
from federated.participation import Participation
from federated.participation.in_turn import in_turn
from federated.privacy import Privacy, Summed
from federated.run.preparing.budget import terms_in_turn
from federated.run.preparing.local_steps import StepsSoFar
from federated.run.preparing.promise import Promise, promised
from federated.run.preparing.trainers import Trainers, population_among
from federated.transports import Transport
from federated.trials import Parts, flat_model
from federated.trials.adapters import adapters_in
from federated.trials.parts import CodecOf
from federated.trials.ranks import ranks_in

_ROTATION = 2  # a second key: those of rounds are of graphs and of silent clients


@doing("making the algorithm, its codecs and its promise")
def parts_of(
    config: RunConfig,
    trainers: Trainers,
    model: FlatModel,
    examples: Examples,
    device: torch.device,
    *,
    promises: bool = True,
) -> tuple[Parts, Promise | None]:
    """The parts that the choices build, and what they promise to clients where they are to.

    Raises BadInput where one does not suit model or data.
    """
    algorithm = _algorithm(config, trainers, model, examples, device)
    moves, ways = _travelling(config, algorithm, model, device), config.compression
    participation = _participation(config)
    transport: Transport = config.transport.build()
    summed = None
    if transport.protocol is not None:
        clients = population_among(config, trainers).size
        summed = Summed(clients, transport.protocol.least(clients), moves.num_moving)
    found = promised(
        config,
        trainers,
        participation,
        moves.num_moving,
        lambda: StepsSoFar(config, trainers, participation, algorithm, model.vector[: model.num_trainable]),
        summed,
        promises=promises,
    )
    transport, uplink = _uplink(config, moves.layout, transport, found.mechanism, summed)
    parts = Parts(
        algorithm=_in_turn_if_alone(algorithm, config, trainers),
        aggregator=config.aggregator.build(),
        participation=participation,
        privacy=found.mechanism,
        uplink=uplink,
        transport=transport,
        downlink=_fitted("downlink", config.compression.downlink, moves.layout),
        travelling=moves,
        uplink_beside=_beside("uplink_beside", ways.uplink_beside, ways.uplink, Trait.VOTES, model.layout),
        downlink_beside=_beside(
            "downlink_beside", ways.downlink_beside, ways.downlink, Trait.DIFFERENCE, model.layout
        ),
        adapters=adapters_in(config, model, moves),
    )
    ranks = ranks_in(config, parts, model, len(trainers.holders.indices))
    return parts._replace(ranks=ranks), found.promise


def _algorithm(
    config: RunConfig, trainers: Trainers, model: FlatModel, examples: Examples, device: torch.device
) -> Algorithm:
    """The algorithm for this run. Raises BadInput where it does not suit model or data."""
    algorithm: Algorithm = config.algorithm.build()
    if algorithm.fit is None:
        return algorithm
    counts = None
    if examples.task.targets == "classification":
        counts = label_counts(examples.targets, trainers.holders, examples.num_outputs)

    def another(number: int) -> Tensor:
        few = torch.from_numpy(examples.inputs[:2])
        return flat_model(config, few, examples.output_shape, device, number).vector[: model.num_trainable]

    clients = len(trainers.holders.indices)
    try:
        rate = config.local.learning_rate
        given = Holdings(
            model.layout, counts, model.module, model.statistics, rate, clients, config.seed, another
        )
        return algorithm.fitted(given)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"algorithm: {config.algorithm.label()}: {error}") from error


def _participation(config: RunConfig) -> Participation:
    """As stated; without a server all take turns."""
    return config.cohort.sampling.build() if config.kind.has_server else in_turn(reach_all=True)


def _travelling(
    config: RunConfig, algorithm: Algorithm, model: FlatModel, device: torch.device
) -> Travelling:
    """The split of the model into sent and kept parameters. Raises BadInput where it does not suit the algorithm."""
    try:
        client = algorithm.client
        staying, fixed = client.stays(model.layout), client.fixed(model.layout)
        return travelling(
            model.layout, staying, device, model.statistics, fixed, num_residual=model.num_residual
        )
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"algorithm: {config.algorithm.label()}: {error}") from error


def _uplink(
    config: RunConfig, layout: Layout, transport: Transport, mechanism: Privacy, summed: Summed | None
) -> tuple[Transport, Compressor]:
    """The transport, and what makes the payloads that it protects: the study's codec, its own, or the mechanism's."""
    protocol = transport.protocol
    if protocol is None:
        return transport, _fitted("uplink", config.compression.uplink, layout)
    if mechanism.in_sum is None:
        assert protocol.codec is not None  # or the two clash
        return transport, protocol.codec
    assert summed is not None
    try:
        made = mechanism.in_sum(summed, generator(config.seed, Purpose.NEIGHBOURS, 0, _ROTATION))
    except ValueError as error:
        raise BadInput(f"privacy: {config.privacy.label()}: {error}") from error
    adding = protocol.adding(made.codec, made.bits, made.size, summed.clients)
    return transport._replace(protocol=adding), made.codec


def _fitted(way: str, choice: Choice, layout: Layout) -> Compressor:
    """The compressor for this model. Raises BadInput where the two cannot work together."""
    compressor: Compressor = choice.build()
    try:
        return compressor.fitted(layout)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"compression.{way}: {choice.label()}: {error}") from error


def _beside(way: str, stated: Choice | None, usual: Choice, unfit: Trait, layout: Layout) -> CodecOf:
    """The codec of each vector that travels beside: unless stated, that of the way for those as long as the model.

    unfit: the trait of a codec of that way that is for nothing else.
    """
    whole = _fitted(way, stated or usual, layout)
    whole = none() if stated is None and unfit in whole.traits else whole
    length = sum(math.prod(shape) for _, shape in layout)

    def codec_of(name: str, count: int) -> Compressor:
        if count == length:
            return whole
        return none() if stated is None else _fitted(way, stated, ((name, (count,)),))

    return codec_of


def _in_turn_if_alone(algorithm: Algorithm, config: RunConfig, trainers: Trainers) -> Algorithm:
    """The algorithm; for clients with own models, whose turns may be shortened, with the terms of `terms_in_turn`."""
    if not trainers.kind.own_models:
        return algorithm
    held, size = trainers.holders.indices, trainers.cohort_size
    return algorithm._replace(terms=lambda state, turn, own: terms_in_turn(config, held, size, turn))
