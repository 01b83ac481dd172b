"""Trials of a user's sampling, privacy mechanism, transport, compressor and aggregator, called as a run calls them."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import Aggregator
from federated.algorithms import Tensors
from federated.compressors import Compressor
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import NoiseSource, Purpose, generator
from federated.participation import Participation, Population
from federated.privacy import Gathered, Privacy
from federated.transports import Sending, Transport
from federated.trials.purity import (
    CLIENTS,
    IMPURE,
    check_pure,
    check_unchanged,
    copied,
    each_of,
    small_updates,
)


def try_participation(name: str, participation: Participation, population: Population) -> None:
    """The cohorts of the run's first rounds, drawn twice. Raises OwnCodeFailed."""
    what = f"cohort.sampling: {name}: draw"
    memory, numbers = participation.init(population), partial(generator, 0, Purpose.COHORT)
    for done in range(min(population.rounds, 10)):
        before = {key: value.clone() for key, value in memory.items()}
        after, cohort = participation.draw(memory, done, population, numbers)
        check_unchanged(what, {f"the memory's {key}": (memory[key], before[key]) for key in memory})
        later, again = participation.draw(memory, done, population, numbers)
        first, second = (
            {**kept, "clients": torch.from_numpy(each.clients), "lost": torch.from_numpy(each.lost)}
            for kept, each in ((after, cohort), (later, again))
        )
        check_pure(what, first, second)
        memory = after


def try_privacy(name: str, privacy: Privacy, parameters: Tensor) -> None:
    """Small updates of as many parameters [P] as the run's, bounded, summed and released. Raises OwnCodeFailed."""
    what, updates, memory = f"privacy: {name}", small_updates(parameters), privacy.init(parameters.numel())
    before, kept, told = updates.clone(), copied({"the memory's": memory}), Tensors()
    if privacy.bound is not None:
        heard = {key: memory[key] for key in privacy.hears}
        found, again = (
            privacy.bound(heard, updates, NoiseSource(0).of_clients(0, range(CLIENTS))) for _ in range(2)
        )
        changed = each_of({"the memory's": memory}, kept)
        check_unchanged(f"{what}: bound", {"the updates": (updates, before), **changed})
        if not torch.isfinite(found.updates).all():
            raise OwnCodeFailed(f"{what}: bound returns numbers that are not finite for small finite updates")
        first, second = ({"updates": each.updates, **each.told} for each in (found, again))
        check_pure(f"{what}: bound", first, second)
        told = {key: rows.mean(dim=0) for key, rows in found.told.items()}
    if privacy.bound_again is not None:
        heard = {key: memory[key] for key in privacy.hears}
        summed, others = (privacy.bound_again(heard, updates) for _ in range(2))
        check_unchanged(f"{what}: bound_again", {"the updates": (updates, before)})
        check_pure(f"{what}: bound_again", {"updates": summed}, {"updates": others})
    if privacy.release is not None:
        gathered = Gathered(updates[0], told, CLIENTS, float(CLIENTS))
        (after, update), (later, other) = (
            privacy.release(memory, gathered, NoiseSource(0).of_server(0)) for _ in range(2)
        )
        changed = each_of({"the memory's": memory}, kept)
        check_unchanged(f"{what}: release", {"the sum": (updates, before), **changed})
        check_pure(f"{what}: release", {"update": update, **after}, {"update": other, **later})


def try_transport(name: str, transport: Transport) -> None:
    """Payloads of two clients there and back. Raises OwnCodeFailed where those that the server reads are others."""
    payloads, everybody = [bytes(range(16)), bytes(range(16, 32))], np.arange(CLIENTS)
    sending = Sending(0, 0, everybody, everybody)
    first, again = (transport.protect(payloads, sending) for _ in range(2))
    if first != again:
        raise OwnCodeFailed(f"transport: {name}: protect {IMPURE}")
    if transport.reveals == "each" and transport.open(first, sending) != payloads:
        raise OwnCodeFailed(f"transport: {name}: open does not return the payloads that were protected")


def try_compressor(name: str, compressor: Compressor, parameters: Tensor) -> None:
    """Small updates there and back, of as many parameters [P] as the run's. Raises OwnCodeFailed."""
    what = f"compressor: {name}"
    updates = small_updates(parameters).cpu()
    before = updates.clone()
    state = compressor.init(*updates.shape)
    (payloads, _), (others, _) = (
        compressor.encode(
            state, updates, [generator(0, Purpose.COMPRESSION, client) for client in range(CLIENTS)]
        )
        for _ in range(2)
    )
    decoded, again = (compressor.decode(payloads, parameters.numel()) for _ in range(2))
    check_unchanged(f"{what}: encode", {"the updates": (updates, before)})
    if payloads != others:
        raise OwnCodeFailed(f"{what}: encode {IMPURE}")
    if not torch.equal(decoded, again):
        raise OwnCodeFailed(f"{what}: decode makes something else of the same payload each time")
    if not torch.isfinite(decoded).all():
        raise OwnCodeFailed(f"{what}: decode returns numbers that are not finite for small finite updates")


def try_aggregator(name: str, aggregator: Aggregator, parameters: Tensor) -> None:
    """Small updates of as many parameters [P] as the run's, reduced. Raises OwnCodeFailed."""
    what, updates, weights = (
        f"aggregator: {name}: reduce",
        small_updates(parameters).cpu(),
        np.full(CLIENTS, 1 / CLIENTS),
    )
    before = updates.clone()
    reduced, again = (aggregator.reduce(weights, updates) for _ in range(2))
    check_unchanged(what, {"the updates": (updates, before)})
    if not torch.isfinite(reduced).all():
        raise OwnCodeFailed(f"{what} returns numbers that are not finite for small finite updates")
    check_pure(what, {"update": reduced}, {"update": again})
    parts = aggregator.reduce(weights[:1], updates[:1]) + aggregator.reduce(weights[1:], updates[1:])
    if aggregator.linear and not torch.allclose(reduced.double(), parts.double(), rtol=1e-4, atol=1e-7):
        raise OwnCodeFailed(
            f"{what} says that it is linear, but two shards added up are not the whole cohort"
        )
