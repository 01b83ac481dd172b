"""The downlink: the whole model to every client, or the difference from the version that each client has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms.algorithm import Tensors
from federated.compressors import Trait
from federated.compressors.compressor import nested, under
from federated.compressors.none import none
from federated.foundation.randomness import Purpose, generator
from federated.metrics import Metrics
from federated.run.clients.clusters import models_in
from federated.run.memory import ALGORITHM, DOWNLINK, HELD, ServerMemory
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.wire.beside import heard_beside
from federated.wire.by_rank import models_by_rank
from federated.wire.distortion import downlink_distortion
from federated.wire.kept import memory_of, payloads_of, replayed, worth_keeping
from federated.wire.ledger import Parcel
from federated.wire.residuals import with_residuals

_INNER = "inner."


class Broadcast(NamedTuple):
    """The global model as the cohort receives it.

    model: [P], as every client of the cohort has it; where the server has several, all of them as sent, [k, P].
    parcels: the payloads sent to each; remembered: the state for the next round; quality: metrics of the model's error,
    where that is measured and the downlink is lossy. server: the server's memory, of which what clients hear beside the
    model is as they read it. held: which residuals of adapters each client then has.
    """

    model: Tensor
    parcels: list[Parcel]
    remembered: Tensors
    quality: Metrics
    server: ServerMemory
    held: Tensors


def broadcast(setup: Setup, state: RunState, cohort: Sequence[int]) -> Broadcast:
    """Send the global model to the cohort, whose clients then all have the same model.

    The whole model is one payload, sent to each client. For differences see `_differences`.
    """
    if not cohort:
        silent = _after_silence(state.server.get(DOWNLINK, {}))
        return Broadcast(state.parameters, [], silent, {}, state.server, state.server.get(HELD, {}))
    clusters = setup.parts.algorithm.clusters
    send = _differences if Trait.DIFFERENCE in setup.parts.downlink.traits else _whole
    if clusters is not None:
        send = _several
    model, parcels, remembered = send(setup, state, cohort)
    quality: Metrics = {}
    if setup.config.compression.quality:
        both = torch.stack([state.parameters, model]) if clusters is None else None
        sent = (
            torch.stack([models_in(state, setup), model]).flatten(1) if both is None else sent_of(setup, both)
        )
        quality = downlink_distortion(setup.parts.downlink, *sent)
    beside, server = heard_beside(setup, state)
    if beside:
        parcels = [[*parcel, *beside.items()] for parcel in parcels]
    parcels, held = with_residuals(setup, state, cohort, parcels)
    return Broadcast(model, parcels, remembered, quality, server, held)


def _whole(setup: Setup, state: RunState, cohort: Sequence[int]) -> tuple[Tensor, list[Parcel], Tensors]:
    numbers = generator(setup.config.seed, Purpose.COMPRESSION, state.round)
    moving = sent_of(setup, state.parameters[None])
    fresh = setup.parts.downlink.init(*moving.shape)
    (payload,), _ = setup.parts.downlink.encode(fresh, moving, [numbers])
    decoded = setup.parts.downlink.decode([payload], moving.shape[1])[0].to(state.parameters)
    if setup.parts.ranks is not None:
        of_each = models_by_rank(
            setup.parts.ranks, moving[0], setup.parts.travelling.num_moving, cohort, numbers
        )
        return _model(setup, state, decoded), [[("model", each)] for each in of_each], {}
    return _model(setup, state, decoded), [[("model", payload)]] * len(cohort), {}


def _several(setup: Setup, state: RunState, cohort: Sequence[int]) -> tuple[Tensor, list[Parcel], Tensors]:
    """Send all of the server's models to clients that choose one, or to each the model of its cluster."""
    clusters, models = setup.parts.algorithm.clusters, models_in(state, setup)
    assert clusters is not None
    numbers = [
        generator(setup.config.seed, Purpose.COMPRESSION, state.round, *((number, 2) if number else ()))
        for number in range(len(models))
    ]
    payloads, _ = setup.parts.downlink.encode(setup.parts.downlink.init(*models.shape), models, numbers)
    decoded = setup.parts.downlink.decode(payloads, models.shape[1]).to(models)
    if clusters.assigned is None:
        return decoded, [[("model", payload) for payload in payloads]] * len(cohort), {}
    assigned = clusters.assigned(state.server.get(ALGORITHM, {}), cohort)
    return decoded, [[("model", payloads[number])] for number in assigned.tolist()], {}


def sent_of(setup: Setup, models: Tensor) -> Tensor:
    """The sent part of models [n, P], running statistics that travel included."""
    trainable, moves = setup.model.num_trainable, setup.parts.travelling
    return torch.cat([moves.of(models[:, :trainable]), moves.statistics_of(models[:, trainable:])], 1)


def _model(setup: Setup, state: RunState, moved: Tensor) -> Tensor:
    """The model [P] with the received parameters; those that clients keep have the server's values."""
    trainable, moves = setup.model.num_trainable, setup.parts.travelling
    whole = moves.back(moved[None, : moves.num_moving], state.parameters[:trainable])[0]
    running = moves.statistics_back(moved[None, moves.num_moving :], state.parameters[trainable:])[0]
    return torch.cat([whole, running])


def _differences(
    setup: Setup, state: RunState, cohort: Sequence[int]
) -> tuple[Tensor, list[Parcel], Tensors]:
    """Send the compressed difference from the reference, the one model that all up-to-date clients have.

    A client that took part in the last round gets only this round's payload. A client that missed rounds gets every
    payload since then, in order, or the whole reference as 32-bit floats where that is shorter; a new client gets
    the whole reference. The server keeps the reference, the payloads that are still worth sending (in total no
    longer than a whole model), and the last round of each client. Running statistics of batch normalisation that travel
    are sent as 32-bit floats: a quantised variance could become negative.
    """
    trainable = setup.model.num_trainable
    target = setup.parts.travelling.of(state.parameters[None, :trainable])[0]
    statistics = setup.parts.travelling.statistics_of(state.parameters[None, trainable:])[0]
    kept = _next_reference(setup, state, target)
    (whole,), _ = none().encode({}, kept["reference"][None], ())
    payloads = payloads_of(kept)
    payloads = payloads[len(payloads) - worth_keeping([len(payload) for payload in payloads], len(whole)) :]
    held = kept["held"].clone()
    parcels = [_parcel(int(held[client]), state.round, payloads, whole) for client in cohort]
    held[torch.as_tensor(cohort, dtype=torch.int64)] = state.round
    if statistics.numel():
        (beside,), _ = none().encode({}, statistics[None], ())
        parcels = [[*parcel, ("statistics", beside)] for parcel in parcels]
    model = torch.cat([kept["reference"].to(state.parameters), statistics])
    return _model(setup, state, model), parcels, {**kept, **memory_of(payloads), "held": held}


def _next_reference(setup: Setup, state: RunState, target: Tensor) -> Tensors:
    """The downlink's state with this round's payload and the resulting reference."""
    compressor, size = setup.parts.downlink, target.numel()
    last = {name: value.cpu() for name, value in state.server.get(DOWNLINK, {}).items()}
    if not last:
        nobody = torch.full((len(setup.federation.clients),), -1, dtype=torch.int64)
        fresh = under(_INNER, compressor.init(1, size))
        return {"reference": target.cpu().clone(), "held": nobody, **memory_of([]), **fresh}
    reference = last["reference"]
    numbers = generator(setup.config.seed, Purpose.COMPRESSION, state.round)
    before = nested(last, _INNER)
    (payload,), after = compressor.encode(before, (target.cpu() - reference)[None], [numbers])
    reference = reference + compressor.decode([payload], size)[0]
    stored = memory_of([*payloads_of(last), payload])
    return {**last, "reference": reference, **stored, **under(_INNER, after)}


def _after_silence(kept: Tensors) -> Tensors:
    """The state after a round in which nothing was sent: no client missed anything."""
    if "held" not in kept:
        return kept
    held = kept["held"]
    return {**kept, "held": torch.where(held < 0, held, held + 1)}


def _parcel(held: int, now: int, payloads: Sequence[bytes], whole: bytes) -> Parcel:
    count = replayed(held, now, [len(payload) for payload in payloads], len(whole))
    if count is None:
        return [("model", whole)]
    return [("difference", payload) for payload in payloads[len(payloads) - count :]]
