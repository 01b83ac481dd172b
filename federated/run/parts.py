"""The parts built from a run's choices, fitted to its model."""

from __future__ import annotations

import torch

from data_partitioners import Partition
from federated.algorithms import Algorithm
from federated.algorithms.travelling import Travelling, travelling
from federated.choices.choice import Choice
from federated.compressors import Compressor
from federated.compressors.parts import Layout
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.models.flat_model import FlatModel
from federated.run.budget import terms_in_turn
from federated.trials import Products


def travelling_of(
    config: RunConfig, algorithm: Algorithm, model: FlatModel, device: torch.device
) -> Travelling:
    """The split of the model into sent and kept parameters. Raises BadInput where it does not suit the algorithm."""
    try:
        return travelling(model.layout, algorithm.client.stays(model.layout), device)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"algorithm: {config.algorithm.label()}: {error}") from error


def products_of(config: RunConfig, algorithm: Algorithm, moves: Travelling) -> Products:
    """The objects that the choices build. Raises BadInput."""
    return Products(
        algorithm,
        _fitted("uplink", config.compression.uplink, moves.layout),
        _fitted("downlink", config.compression.downlink, moves.layout),
        config.privacy.build(),
        config.aggregator.build(),
    )


def _fitted(way: str, choice: Choice, layout: Layout) -> Compressor:
    """The compressor for this model. Raises BadInput where the two cannot work together."""
    compressor: Compressor = choice.build()
    try:
        return compressor.fitted(layout)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"compression.{way}: {choice.label()}: {error}") from error


def in_turn_if_alone(
    algorithm: Algorithm, config: RunConfig, holders: Partition, cohort_size: int
) -> Algorithm:
    """The algorithm; for local training with the terms of `terms_in_turn`, as the clients' turns may be shortened."""
    if config.training != "local":
        return algorithm
    return algorithm._replace(
        terms=lambda state, turn, own: terms_in_turn(config, holders.indices, cohort_size, turn)
    )
