"""Contracts of user-defined parts, whose results are checked at every call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, ClientHalf, Heard, Rows, ServerState, Trained
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.schedules import Schedule
from federated.compressors import CohortState, Compressor
from federated.compressors.parts import Layout
from federated.foundation.errors import OwnCodeFailed
from federated.privacy import Privacy
from federated.user_code.containment import contained


def held_schedule(name: str, schedule: Any) -> Schedule:
    """A schedule whose factors are finite numbers >= 0. Raises OwnCodeFailed, here where it is no function."""
    what = f"schedule: {name}"
    if not callable(schedule):
        raise OwnCodeFailed(f"{what} must return a function of (rounds done, rounds), got {_found(schedule)}")

    def factor(done: int, rounds: int) -> float:
        with contained(f"{what} fails before round {done + 1} of {rounds}"):
            value: Any = schedule(done, rounds)
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
            raise OwnCodeFailed(
                f"{what} must return a finite number >= 0, got {_found(value)} before round {done + 1} of {rounds}"
            )
        return float(value)

    return factor


def held_algorithm(name: str, algorithm: Algorithm) -> Algorithm:
    """An algorithm whose functions return what `Algorithm` says. They raise OwnCodeFailed otherwise."""
    what = f"algorithm: {name}"

    def init(parameters: Tensor) -> ServerState:
        with contained(f"{what}: init fails"):
            state = algorithm.init(parameters)
        return _tensors(state, f"{what}: init must return a mapping of tensors")

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        with contained(f"{what}: update fails"):
            found: Any = algorithm.update(state, parameters, heard)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: update must return (state, parameters), got {_found(found)}")
        after, stepped = found
        _check_tensor(stepped, parameters, f"{what}: update must return parameters")
        return _tensors(after, f"{what}: update must return a state that is a mapping of tensors"), stepped

    def terms(state: ServerState, clients: Sequence[int], own: Rows) -> LocalTerms:
        with contained(f"{what}: terms fails"):
            found: Any = algorithm.terms(state, clients, own)
        if not isinstance(found, LocalTerms):
            raise OwnCodeFailed(f"{what}: terms must return LocalTerms, got {_found(found)}")
        for field in ("rate_factors", "steps"):
            value = getattr(found, field)
            if value is not None and np.shape(value) != (len(clients),):
                shapes = f"[{len(clients)}], one for each client, got {list(np.shape(value))}"
                raise OwnCodeFailed(f"{what}: terms must give {field} {shapes}")
        return found

    return algorithm._replace(
        init=init, update=update, terms=terms, client=_held_client(what, algorithm.client)
    )


def _held_client(what: str, client: ClientHalf) -> ClientHalf:
    def init(num_clients: int, num_parameters: int) -> Rows:
        with contained(f"{what}: client.init fails"):
            rows = client.init(num_clients, num_parameters)
        return _rows(rows, num_clients, f"{what}: client.init must return a mapping of tensors")

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        assert client.finish is not None
        with contained(f"{what}: client.finish fails"):
            found: Any = client.finish(state, own, trained)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(
                f"{what}: client.finish must return (rows to keep, rows to send), got {_found(found)}"
            )
        kept, sent = (
            _rows(rows, len(trained.deltas), f"{what}: client.finish must return mappings of tensors")
            for rows in found
        )
        if kept.keys() != own.keys():
            raise OwnCodeFailed(
                f"{what}: client.finish must keep the rows that client.init makes, {_names(own)}, got {_names(kept)}"
            )
        return kept, sent

    def stays(layout: Layout) -> frozenset[str]:
        with contained(f"{what} cannot work with this model"):
            return frozenset(client.stays(layout))

    return client._replace(init=init, finish=None if client.finish is None else finish, stays=stays)


def held_aggregator(name: str, aggregator: Aggregator) -> Aggregator:
    """An aggregator whose `reduce` returns what `Aggregator` says. It raises OwnCodeFailed otherwise."""
    what = f"aggregator: {name}"

    def reduce(weights: np.ndarray, decoded: Tensor) -> Tensor:
        with contained(f"{what}: reduce fails"):
            found: Any = aggregator.reduce(weights, decoded)
        if not isinstance(found, Tensor) or found.shape != decoded.shape[1:] or not found.is_floating_point():
            raise OwnCodeFailed(
                f"{what}: reduce must return one vector {list(decoded.shape[1:])}, got {_found(found)}"
            )
        return found

    return aggregator._replace(reduce=reduce)


def held_compressor(name: str, compressor: Compressor) -> Compressor:
    """A compressor whose functions return what `Compressor` says. They raise OwnCodeFailed otherwise."""
    what = f"compressor: {name}"

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        with contained(f"{what}: encode fails"):
            found: Any = compressor.encode(state, deltas, generators)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: encode must return (payloads, state), got {_found(found)}")
        payloads, after = found
        if len(payloads) != len(deltas) or not all(isinstance(payload, bytes) for payload in payloads):
            raise OwnCodeFailed(f"{what}: encode must return bytes for each of {len(deltas)} clients")
        return payloads, _tensors(after, f"{what}: encode must return a state that is a mapping of tensors")

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        with contained(f"{what}: decode fails"):
            found = compressor.decode(payloads, num_parameters)
        _check_tensor(
            found, torch.empty(len(payloads), num_parameters), f"{what}: decode must return updates"
        )
        return found

    fit = compressor.fit

    def fitted(layout: Any) -> Compressor:
        assert fit is not None
        with contained(f"{what} cannot work with this model"):
            return held_compressor(name, fit(layout))

    return compressor._replace(encode=encode, decode=decode, fit=None if fit is None else fitted)


def held_privacy(name: str, privacy: Privacy) -> Privacy:
    """A mechanism whose `clip` returns what `Privacy` says. It raises OwnCodeFailed otherwise."""
    what = f"privacy: {name}"

    def clip(deltas: Tensor) -> tuple[Tensor, Tensor]:
        with contained(f"{what}: clip fails"):
            found: Any = privacy.clip(deltas)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: clip must return (updates, clipped), got {_found(found)}")
        _check_tensor(found[0], deltas, f"{what}: clip must return updates")
        _check_tensor(
            found[1], torch.empty(len(deltas), dtype=torch.bool), f"{what}: clip must say who was clipped,"
        )
        return found

    return privacy._replace(clip=clip)


Held = Callable[[str, Any], Any]


def _tensors(state: object, must: str) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise OwnCodeFailed(f"{must}, got {_found(state)}")
    return dict(state)


def _rows(found: object, num_clients: int, must: str) -> Rows:
    rows = _tensors(found, must)
    for name, value in rows.items():
        if not value.dim() or len(value) != num_clients:
            raise OwnCodeFailed(
                f"{must} with a row for each of {num_clients} clients, got {name}: {_found(value)}"
            )
    return rows


def _names(rows: Rows) -> str:
    return ", ".join(rows) or "none"


def _check_tensor(found: Any, like: Tensor, must: str) -> None:
    """Raise OwnCodeFailed where something is no tensor of this shape and type."""
    if not isinstance(found, Tensor) or found.shape != like.shape or found.dtype != like.dtype:
        raise OwnCodeFailed(f"{must} {_of_type(like)}, got {_found(found)}")


def _of_type(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _found(value: Any) -> str:
    """The value that was returned instead, in a few words."""
    if isinstance(value, Tensor):
        return _of_type(value)
    if value is None:
        return "nothing (is a return missing?)"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shown = repr(value) if isinstance(value, Real | str) else ""
    return shown if 0 < len(shown) < 80 else f"a {type(value).__name__}"
