"""Trials of a user's schedule, algorithm, compressor and privacy mechanism, each called as a run calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, Heard, Rows, Tensors, Trained
from federated.algorithms.algorithm import Finish
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.schedules import Schedule
from federated.compressors import Compressor
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.participation import Participation, Population
from federated.privacy import Gathered, Privacy
from federated.transports import Sending, Transport

_MOST_ROUNDS = 1000
_CLIENTS = 2
_SIZE = 1e-2  # of the updates' coordinates
_SAME = 1e-5  # how far two calls with the same arguments may be apart, as a share: a sum in threads has no fixed order


def try_schedule(name: str, make: Callable[[], Schedule], rounds: int) -> None:
    """Ask for the factor of every round, of a thousand of them at most, in order and from the last to the first.

    Raises OwnCodeFailed where one is none, or depends on what was asked before: a run that goes on from a checkpoint, a
    round that is tried again and processes side by side ask in other orders.
    """
    asked = np.unique(np.linspace(0, rounds - 1, min(rounds, _MOST_ROUNDS)).astype(int)).tolist()
    schedule = make()
    factors = {done: schedule(done, rounds) for done in asked}
    for other in (make(), *[schedule] * -(-_MOST_ROUNDS // len(asked))):
        for done in reversed(asked):
            if (factor := other(done, rounds)) != factors[done]:
                raise OwnCodeFailed(
                    f"schedule: {name} returns {factors[done]:g} before round {done + 1} of {rounds}, and {factor:g} "
                    "when it is asked again: the factor must depend on (rounds done, rounds) alone, not on a counter "
                    "or on random numbers"
                )


def try_algorithm(name: str, algorithm: Algorithm, parameters: Tensor, clients: Sequence[int]) -> None:
    """One round of clients and server with small updates. parameters: the trainable ones [P]. Raises OwnCodeFailed."""
    what = f"algorithm: {name}"
    updates, given = _updates(parameters)[: len(clients)], parameters.clone()
    state, client = algorithm.init(given), algorithm.client
    own = {key: rows.to(given.device) for key, rows in client.init(len(clients), given.numel()).items()}
    _try_terms(
        what,
        lambda: algorithm.terms(state, clients, own),
        given,
        {"the state's": state, "the client's own": own},
    )
    trained = Trained(updates, np.full(len(clients), _SIZE))
    sent = {} if client.finish is None else _try_finish(what, client.finish, state, own, trained)
    mean = updates[0]
    heard = Heard(mean, {name: rows.mean(dim=0) for name, rows in sent.items()}, 1.0)
    remembered = {"the state's": state, "the mean of": heard.sent}
    kept = _copied(remembered)
    arguments = {"the parameters": (given, parameters), "the mean update": (mean, mean.clone())}
    after, stepped = algorithm.update(state, given, heard)
    _check_unchanged(f"{what}: update", arguments | _each(remembered, kept))
    if not torch.isfinite(stepped).all():
        raise OwnCodeFailed(f"{what}: update returns numbers that are not finite for small finite updates")
    later, again = algorithm.update(state, given, heard)
    _check_pure(f"{what}: update", {"parameters": stepped, **after}, {"parameters": again, **later})


def _try_terms(what: str, terms: Callable[[], LocalTerms], parameters: Tensor, given: _Given) -> None:
    before = _copied(given)
    found = terms()
    _check_unchanged(f"{what}: terms", _each(given, before))
    correction = found.correction
    if correction is not None and (
        correction.dim() not in (1, 2)
        or correction.shape[-1] != parameters.numel()
        or correction.dtype != parameters.dtype
    ):
        raise OwnCodeFailed(
            f"{what}: terms must give a correction {_type(parameters)} for all clients, or a row for each, "
            f"got {_type(correction)}"
        )
    _check_pure(f"{what}: terms", _tensors(found), _tensors(terms()))


def _try_finish(what: str, finish: Finish, state: Tensors, own: Rows, trained: Trained) -> Rows:
    """What is sent."""
    given = {"the state's": state, "the client's own": own, "the update's": {"deltas": trained.deltas}}
    before = _copied(given)
    (kept, sent), (later, again) = finish(state, own, trained), finish(state, own, trained)
    _check_unchanged(f"{what}: client.finish", _each(given, before))
    for name, rows in {**kept, **sent}.items():
        if rows.is_floating_point() and not torch.isfinite(rows).all():
            raise OwnCodeFailed(
                f"{what}: client.finish returns {name} with numbers that are not finite for small finite updates"
            )
    _check_pure(f"{what}: client.finish", _both(kept, sent), _both(later, again))
    return sent


def try_compressor(name: str, compressor: Compressor, parameters: Tensor) -> None:
    """Small updates there and back, of as many parameters [P] as the run's. Raises OwnCodeFailed."""
    what = f"compressor: {name}"
    updates = _updates(parameters).cpu()
    before = updates.clone()
    state = compressor.init(*updates.shape)
    (payloads, _), (others, _) = (
        compressor.encode(
            state, updates, [generator(0, Purpose.COMPRESSION, client) for client in range(_CLIENTS)]
        )
        for _ in range(2)
    )
    decoded, again = (compressor.decode(payloads, parameters.numel()) for _ in range(2))
    _check_unchanged(f"{what}: encode", {"the updates": (updates, before)})
    if payloads != others:
        raise OwnCodeFailed(f"{what}: encode {_IMPURE}")
    if not torch.equal(decoded, again):
        raise OwnCodeFailed(f"{what}: decode makes something else of the same payload each time")
    if not torch.isfinite(decoded).all():
        raise OwnCodeFailed(f"{what}: decode returns numbers that are not finite for small finite updates")


def try_participation(name: str, participation: Participation, rounds: int) -> None:
    """The cohorts of some rounds of ten clients, drawn twice. Raises OwnCodeFailed."""
    what, population = f"cohort.sampling: {name}: draw", Population(10, np.arange(10), 4, 0.4, rounds)
    memory, numbers = participation.init(population), partial(generator, 0, Purpose.COHORT)
    for done in range(min(rounds, 10)):
        before = {key: value.clone() for key, value in memory.items()}
        after, cohort = participation.draw(memory, done, population, numbers)
        _check_unchanged(what, {f"the memory's {key}": (memory[key], before[key]) for key in memory})
        later, again = participation.draw(memory, done, population, numbers)
        first, second = (
            {**kept, "clients": torch.from_numpy(each.clients), "lost": torch.from_numpy(each.lost)}
            for kept, each in ((after, cohort), (later, again))
        )
        _check_pure(what, first, second)
        memory = after


def try_privacy(name: str, privacy: Privacy, parameters: Tensor) -> None:
    """Small updates of as many parameters [P] as the run's, bounded, summed and released. Raises OwnCodeFailed."""
    what, updates, memory = f"privacy: {name}", _updates(parameters), privacy.init(parameters.numel())
    before, kept, told = updates.clone(), _copied({"the memory's": memory}), Tensors()
    if privacy.bound is not None:
        heard = {key: memory[key] for key in privacy.hears}
        found, again = (privacy.bound(heard, updates) for _ in range(2))
        changed = _each({"the memory's": memory}, kept)
        _check_unchanged(f"{what}: bound", {"the updates": (updates, before), **changed})
        if not torch.isfinite(found.updates).all():
            raise OwnCodeFailed(f"{what}: bound returns numbers that are not finite for small finite updates")
        first, second = ({"updates": each.updates, **each.told} for each in (found, again))
        _check_pure(f"{what}: bound", first, second)
        told = {key: rows.mean(dim=0) for key, rows in found.told.items()}
    if privacy.release is not None:
        gathered = Gathered(updates[0], told, _CLIENTS, float(_CLIENTS))
        (after, update), (later, other) = (
            privacy.release(memory, gathered, generator(0, Purpose.NOISE)) for _ in range(2)
        )
        changed = _each({"the memory's": memory}, kept)
        _check_unchanged(f"{what}: release", {"the sum": (updates, before), **changed})
        _check_pure(f"{what}: release", {"update": update, **after}, {"update": other, **later})


def try_transport(name: str, transport: Transport) -> None:
    """Payloads of two clients there and back. Raises OwnCodeFailed where those that the server reads are others."""
    payloads, everybody = [bytes(range(16)), bytes(range(16, 32))], np.arange(_CLIENTS)
    sending = Sending(0, 0, everybody, everybody)
    first, again = (transport.protect(payloads, sending) for _ in range(2))
    if first != again:
        raise OwnCodeFailed(f"transport: {name}: protect {_IMPURE}")
    if transport.reveals == "each" and transport.open(first, sending) != payloads:
        raise OwnCodeFailed(f"transport: {name}: open does not return the payloads that were protected")


def try_aggregator(name: str, aggregator: Aggregator, parameters: Tensor) -> None:
    """Small updates of as many parameters [P] as the run's, reduced. Raises OwnCodeFailed."""
    what, updates, weights = (
        f"aggregator: {name}: reduce",
        _updates(parameters).cpu(),
        np.full(_CLIENTS, 1 / _CLIENTS),
    )
    before = updates.clone()
    reduced, again = (aggregator.reduce(weights, updates) for _ in range(2))
    _check_unchanged(what, {"the updates": (updates, before)})
    if not torch.isfinite(reduced).all():
        raise OwnCodeFailed(f"{what} returns numbers that are not finite for small finite updates")
    _check_pure(what, {"update": reduced}, {"update": again})
    parts = aggregator.reduce(weights[:1], updates[:1]) + aggregator.reduce(weights[1:], updates[1:])
    if aggregator.linear and not torch.allclose(reduced.double(), parts.double(), rtol=1e-4, atol=1e-7):
        raise OwnCodeFailed(
            f"{what} says that it is linear, but two shards added up are not the whole cohort"
        )


_IMPURE = (
    "returns something else when it is called again with the same arguments: it must depend on them alone, as a round "
    "that failed is tried again; keep what changes in the state, and draw from the generators that are given"
)


def _check_pure(what: str, first: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> None:
    """Raise where two calls with the same arguments returned other tensors, NaN being equal to itself."""
    same = first.keys() == again.keys() and all(
        value.shape == again[key].shape
        and torch.allclose(value, again[key], rtol=_SAME, atol=0, equal_nan=True)
        for key, value in first.items()
    )
    if not same:
        raise OwnCodeFailed(f"{what} {_IMPURE}")


_Given = Mapping[str, Tensors]
"""What -> its tensors by name."""


def _copied(given: _Given) -> dict[str, Tensors]:
    return {what: {name: value.clone() for name, value in each.items()} for what, each in given.items()}


def _each(now: _Given, before: _Given) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        f"{what} {name}": (value, before[what][name])
        for what, each in now.items()
        for name, value in each.items()
    }


def _both(kept: Rows, sent: Rows) -> Tensors:
    return {
        f"{which} {name}": rows
        for which, each in (("kept", kept), ("sent", sent))
        for name, rows in each.items()
    }


def _type(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _tensors(terms: LocalTerms) -> dict[str, Tensor]:
    """Those that are stated."""
    return {name: torch.as_tensor(value) for name, value in vars(terms).items() if value is not None}


def _updates(parameters: Tensor) -> Tensor:
    """[2, P], normal."""
    numbers = generator(0, Purpose.FORECAST).standard_normal((_CLIENTS, parameters.numel()), np.float32)
    return torch.from_numpy(numbers * np.float32(_SIZE)).to(parameters)


def _check_unchanged(what: str, arguments: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Raise where an argument, the first of each pair, is no longer what it was."""
    for which, (now, before) in arguments.items():
        if not torch.equal(now, before):
            raise OwnCodeFailed(
                f"{what} changes {which} in place; return new tensors, as a failed round is tried again"
            )
