"""The ranks of a run's clients, and the refusal of what does not go with adapters of different ranks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from federated.aggregators.lora.ranks import OfRank, Ranks, present, shortened_layout
from federated.algorithms import ClientHalf
from federated.choices.choice import Choice
from federated.compressors import Compressor, Trait
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.models.flat_model import FlatModel
from federated.trials.parts import Parts


def ranks_in(config: RunConfig, parts: Parts, model: FlatModel, holders: int) -> Ranks | None:
    """The ranks of so many clients, who have the stated ones in turn; None where one is stated, or one holder trains.

    Raises BadInput where something else of the run does not go with them.
    """
    stated = stated_ranks(config)
    if len(stated) < 2 or config.kind.pools_examples:
        return None
    label = config.trained.label()
    if why := next(_unfit(config, parts, model), None):
        raise BadInput(f"trained: {label}: clients of different ranks do not go with {why}")
    return ranks_among(config, parts, model, stated, holders)


def stated_ranks(config: RunConfig) -> tuple[int, ...]:
    """The ranks that clients have in turn; empty where the run has no adapters."""
    rank = config.trained.arguments.get("rank", ()) if config.trained.name == "lora" else ()
    return tuple(rank) if isinstance(rank, list | tuple) else (int(rank),)


def ranks_among(
    config: RunConfig, parts: Parts, model: FlatModel, stated: Sequence[int], holders: int
) -> Ranks:
    """The ranks of so many clients in turn."""
    falling = sorted(set(stated), reverse=True)
    each = tuple(_of_rank(config, parts, model, rank) for rank in falling)
    of = np.array([falling.index(stated[client % len(stated)]) for client in range(holders)], np.int64)
    return Ranks(each, of)


def _of_rank(config: RunConfig, parts: Parts, model: FlatModel, rank: int) -> OfRank:
    layout, device = parts.travelling.layout, model.vector.device
    absent = ~present(model.layout, model.factors, rank)
    return OfRank(
        rank,
        present(layout, model.factors, rank).nonzero()[:, 0].to(device),
        absent.nonzero()[:, 0].to(device),
        *(
            _fitted(way, choice, rank, parts, model.factors)
            for way, choice in (
                ("uplink", config.compression.uplink),
                ("downlink", config.compression.downlink),
            )
        ),
    )


def _fitted(way: str, choice: Choice, rank: int, parts: Parts, factors: Collection[str]) -> Compressor:
    compressor: Compressor = choice.build()
    try:
        return compressor.fitted(shortened_layout(parts.travelling.layout, factors, rank))
    except ValueError as error:
        raise BadInput(f"compression.{way}: {choice.label()}: of rank {rank}: {error}") from error


def _unfit(config: RunConfig, parts: Parts, model: FlatModel) -> Iterator[str]:
    """What does not go with them, and why."""
    algorithm, client, label = parts.algorithm, parts.algorithm.client, config.algorithm.label()
    both = {name for adapter in parts.adapters for name in (adapter.name_a, adapter.name_b)}
    if any(name in model.factors and name not in both for name, _ in model.layout) or not both:
        yield "a frozen factor, or one that stays at clients: the rows of the other one would be trained all the same"
    if not parts.aggregator.linear:
        yield f"aggregator: {config.aggregator.label()}, as what a client does not have is no vote of its"
    if parts.transport.reveals == "sum":
        yield f"transport: {config.transport.label()}, as the server adds up vectors of one length"
    if parts.privacy.release is not None or parts.privacy.per_example is not None:
        yield (
            f"privacy: {config.privacy.mechanism.label()}, whose noise is for vectors of one length; use a mechanism "
            "of each client's own, such as local_gaussian"
        )
    if config.privacy.canaries:
        yield "privacy.canaries, which have no rank"
    if algorithm.clusters is not None or algorithm.votes or client.init is not ClientHalf().init:
        yield f"algorithm: {label}, which remembers or counts every coordinate of every client"
    start = model.vector[: model.num_trainable].clone()
    if any(algorithm.init(start)[name].numel() > 1 for name in client.hears):
        yield f"algorithm: {label}, whose clients step along a vector of the server's, also where they have nothing"
    if not _by_coordinate(parts.downlink):
        yield (
            f"compression.downlink: {config.compression.downlink.label()}, as each rank is sent a part of one model; "
            "use none, float16 or bfloat16"
        )
    if parts.uplink.init(1, parts.travelling.num_moving):
        yield f"compression.uplink: {config.compression.uplink.label()}, which remembers vectors of one length"
    if config.evaluation.personalisation is not None or config.leakage is not None:
        yield (
            "evaluation.personalisation and leakage, which begin at the server's model, and not at the part of it "
            "that a client has"
        )


def _by_coordinate(codec: Compressor) -> bool:
    return codec.parts is not None and codec.parts.reduction is None and Trait.WHOLE_MODEL in codec.traits
