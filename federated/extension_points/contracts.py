"""Contracts of user-defined parts, whose results are checked at every call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm, Heard, Holdings, Rows, ServerState
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.own_steps import OwnSteps, Walk
from federated.algorithms.schedules import Schedule
from federated.compressors import CohortState, Compressor, Trait
from federated.extension_points.client_contract import check_hears, held_client
from federated.extension_points.cluster_contract import held_clusters
from federated.extension_points.returned import check_tensor, found_text, tensors
from federated.foundation.errors import OwnCodeFailed
from federated.participation import Cohort, Memory, Numbers, Participation, Population
from federated.user_code.containment import contained


def held_schedule(name: str, schedule: Any) -> Schedule:
    """A schedule whose factors are finite numbers >= 0. Raises OwnCodeFailed, here where it is no function."""
    what = f"schedule: {name}"
    if not callable(schedule):
        raise OwnCodeFailed(
            f"{what} must return a function of (rounds done, rounds), got {found_text(schedule)}"
        )

    def factor(done: int, rounds: int) -> float:
        with contained(f"{what} fails before round {done + 1} of {rounds}"):
            value: Any = schedule(done, rounds)
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
            raise OwnCodeFailed(
                f"{what} must return a finite number >= 0, got {found_text(value)} before round {done + 1} of {rounds}"
            )
        return float(value)

    return factor


def held_algorithm(name: str, algorithm: Algorithm) -> Algorithm:
    """An algorithm whose functions return what `Algorithm` says. They raise OwnCodeFailed otherwise."""
    what = f"algorithm: {name}"
    client = held_client(name, algorithm.client)

    def init(parameters: Tensor) -> ServerState:
        with contained(f"{what}: init fails"):
            state = tensors(algorithm.init(parameters), f"{what}: init must return a mapping of tensors")
        check_hears(what, state, client.hears)
        return state

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        with contained(f"{what}: update fails"):
            found: Any = algorithm.update(state, parameters, heard)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: update must return (state, parameters), got {found_text(found)}")
        after, stepped = found
        check_tensor(stepped, parameters, f"{what}: update must return parameters")
        after = tensors(after, f"{what}: update must return a state that is a mapping of tensors")
        check_hears(what, after, client.hears)
        return after, stepped

    def terms(state: ServerState, clients: Sequence[int], own: Rows) -> LocalTerms:
        with contained(f"{what}: terms fails"):
            found: Any = algorithm.terms(state, clients, own)
        if not isinstance(found, LocalTerms):
            raise OwnCodeFailed(f"{what}: terms must return LocalTerms, got {found_text(found)}")
        for field in ("rate_factors", "steps"):
            value = getattr(found, field)
            if value is not None and (not isinstance(value, np.ndarray) or value.shape != (len(clients),)):
                shapes = f"as a NumPy array [{len(clients)}], one for each client, got {found_text(value)}"
                raise OwnCodeFailed(f"{what}: terms must give {field} {shapes}")
        offsets: Any = found.offsets
        if offsets is not None and (
            not isinstance(offsets, Tensor) or offsets.dim() != 2 or len(offsets) != len(clients)
        ):
            rows = f"a tensor [{len(clients)}, outputs], a row for each client, got {found_text(offsets)}"
            raise OwnCodeFailed(f"{what}: terms must give offsets as {rows}")
        return (
            found if found.own_steps is None else replace(found, own_steps=_held_steps(what, found.own_steps))
        )

    fit = algorithm.fit

    def fitted(holdings: Holdings) -> Algorithm:
        assert fit is not None
        with contained(f"{what} cannot work with this model and data"):
            found: Any = fit(holdings)
        if not isinstance(found, Algorithm):
            raise OwnCodeFailed(f"{what}: fit must return Algorithm(...), got {found_text(found)}")
        return held_algorithm(name, found)

    return algorithm._replace(
        init=init,
        update=update,
        terms=terms,
        client=client,
        clusters=held_clusters(name, algorithm.clusters, client),
        fit=None if fit is None else fitted,
    )


def _held_steps(what: str, steps: Any) -> OwnSteps:
    """Steps that return what `OwnSteps` says. Raises OwnCodeFailed where they are none."""
    if not isinstance(steps, OwnSteps):
        raise OwnCodeFailed(f"{what}: terms must give own_steps as OwnSteps(...), got {found_text(steps)}")

    def take(walk: Walk) -> tuple[Tensor, dict[str, Tensor]]:
        with contained(f"{what}: own_steps fails"):
            found: Any = steps.take(walk)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(
                f"{what}: own_steps must return (model, what to remember), got {found_text(found)}"
            )
        trained, kept = found
        check_tensor(trained, walk.start, f"{what}: own_steps must return a model")
        kept = tensors(kept, f"{what}: own_steps must return a mapping of tensors to remember")
        if kept.keys() != walk.own.keys():
            raise OwnCodeFailed(
                f"{what}: own_steps must return what it is given in own, {', '.join(walk.own)}, got {', '.join(kept)}"
            )
        for name, value in kept.items():
            check_tensor(value, walk.own[name], f"{what}: own_steps must return {name} as it is in own,")
        return trained, kept

    return replace(steps, take=take)


def held_aggregator(name: str, aggregator: Aggregator) -> Aggregator:
    """An aggregator whose `reduce` returns what `Aggregator` says. It raises OwnCodeFailed otherwise."""
    what = f"aggregator: {name}"

    def reduce(weights: np.ndarray, decoded: Tensor) -> Tensor:
        with contained(f"{what}: reduce fails"):
            found: Any = aggregator.reduce(weights, decoded)
        if not isinstance(found, Tensor) or found.shape != decoded.shape[1:] or not found.is_floating_point():
            raise OwnCodeFailed(
                f"{what}: reduce must return one vector {list(decoded.shape[1:])}, got {found_text(found)}"
            )
        return found

    return aggregator._replace(reduce=reduce)


def held_compressor(name: str, compressor: Compressor) -> Compressor:
    """A compressor whose functions return what `Compressor` says. They raise OwnCodeFailed otherwise."""
    what = f"compressor: {name}"
    if not isinstance(compressor.traits, frozenset | set) or not all(
        isinstance(trait, Trait) for trait in compressor.traits
    ):
        raise OwnCodeFailed(
            f"{what}: traits must be a frozenset of Trait, such as Trait.UNBIASED, got {found_text(compressor.traits)}"
        )

    def encode(
        state: CohortState, deltas: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[list[bytes], CohortState]:
        with contained(f"{what}: encode fails"):
            found: Any = compressor.encode(state, deltas, generators)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: encode must return (payloads, state), got {found_text(found)}")
        payloads, after = found
        if len(payloads) != len(deltas) or not all(isinstance(payload, bytes) for payload in payloads):
            raise OwnCodeFailed(f"{what}: encode must return bytes for each of {len(deltas)} clients")
        return payloads, tensors(after, f"{what}: encode must return a state that is a mapping of tensors")

    def decode(payloads: Sequence[bytes], num_parameters: int) -> Tensor:
        with contained(f"{what}: decode fails"):
            found = compressor.decode(payloads, num_parameters)
        check_tensor(found, torch.empty(len(payloads), num_parameters), f"{what}: decode must return updates")
        return found

    fit = compressor.fit

    def fitted(layout: Any) -> Compressor:
        assert fit is not None
        with contained(f"{what} cannot work with this model"):
            return held_compressor(name, fit(layout))

    return compressor._replace(encode=encode, decode=decode, fit=None if fit is None else fitted)


def held_participation(name: str, participation: Participation) -> Participation:
    """A mechanism that draws cohorts of eligible clients. It raises OwnCodeFailed otherwise."""
    what = f"cohort.sampling: {name}"

    def draw(memory: Memory, done: int, population: Population, numbers: Numbers) -> tuple[Memory, Cohort]:
        with contained(f"{what}: draw fails"):
            found: Any = participation.draw(memory, done, population, numbers)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Cohort):
            raise OwnCodeFailed(f"{what}: draw must return (memory, Cohort), got {found_text(found)}")
        after, cohort = found
        clients, lost = np.asarray(cohort.clients), np.asarray(cohort.lost)
        if clients.dtype.kind not in "iu" or not np.isin(clients, population.eligible).all():
            raise OwnCodeFailed(f"{what}: draw must choose eligible clients, got {found_text(clients)}")
        if (np.diff(clients) <= 0).any():
            raise OwnCodeFailed(f"{what}: draw must list its clients in rising order, each once")
        if lost.dtype != bool or lost.shape != clients.shape:
            raise OwnCodeFailed(
                f"{what}: draw must say which clients are lost, bool [C], got {found_text(lost)}"
            )
        kept = tensors(after, f"{what}: draw must return a memory that is a mapping of tensors")
        return kept, Cohort(clients.astype(np.int64), lost)

    def init(population: Population) -> Memory:
        with contained(f"{what}: init fails"):
            return tensors(participation.init(population), f"{what}: init must return a mapping of tensors")

    return participation._replace(draw=draw, init=init)


Held = Callable[[str, Any], Any]
