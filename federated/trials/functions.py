"""A person's own schedule, algorithm, compressor and privacy mechanism, called once as a run calls them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.algorithms import Algorithm
from federated.algorithms.schedules import Schedule
from federated.compressors import Compressor
from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.privacy import Privacy

_MOST_ROUNDS = 1000
_CLIENTS = 2
_SIZE = 1e-2  # of the updates' coordinates


def try_schedule(schedule: Schedule, rounds: int) -> None:
    """Ask for the factor of every round, of a thousand of them at most. It raises OwnCodeFailed where one is none."""
    for done in np.unique(np.linspace(0, rounds - 1, min(rounds, _MOST_ROUNDS)).astype(int)).tolist():
        schedule(done, rounds)


def try_algorithm(name: str, algorithm: Algorithm, parameters: Tensor, clients: Sequence[int]) -> None:
    """One round of the server with small updates. parameters: the trainable ones [P]. Raises OwnCodeFailed."""
    what = f"algorithm: {name}"
    mean, given = _updates(parameters)[0], parameters.clone()
    state = algorithm.init(given)
    algorithm.terms(state, clients)
    kept = {key: value.clone() for key, value in state.items()}
    arguments = {"the parameters": (given, parameters), "the mean update": (mean, mean.clone())}
    stepped = algorithm.update(state, given, mean)[1]
    arguments |= {f"the state's {key}": (state[key], value) for key, value in kept.items()}
    _check_unchanged(f"{what}: update", arguments)
    if not torch.isfinite(stepped).all():
        raise OwnCodeFailed(f"{what}: update returns numbers that are not finite for small finite updates")


def try_compressor(name: str, compressor: Compressor, parameters: Tensor) -> None:
    """Small updates there and back, of as many parameters [P] as the run's. Raises OwnCodeFailed."""
    what = f"compressor: {name}"
    updates = _updates(parameters).cpu()
    before = updates.clone()
    state = compressor.init(*updates.shape)
    numbers = [generator(0, Purpose.COMPRESSION, client) for client in range(_CLIENTS)]
    payloads, _ = compressor.encode(state, updates, numbers)
    decoded, again = (compressor.decode(payloads, parameters.numel()) for _ in range(2))
    _check_unchanged(f"{what}: encode", {"the updates": (updates, before)})
    if not torch.equal(decoded, again):
        raise OwnCodeFailed(f"{what}: decode makes something else of the same payload each time")
    if not torch.isfinite(decoded).all():
        raise OwnCodeFailed(f"{what}: decode returns numbers that are not finite for small finite updates")


def try_privacy(name: str, privacy: Privacy, parameters: Tensor) -> None:
    """Small updates of as many parameters [P] as the run's through `clip`. Raises OwnCodeFailed."""
    updates = _updates(parameters)
    before = updates.clone()
    bounded, _ = privacy.clip(updates)
    _check_unchanged(f"privacy: {name}: clip", {"the updates": (updates, before)})
    if not torch.isfinite(bounded).all():
        raise OwnCodeFailed(
            f"privacy: {name}: clip returns numbers that are not finite for small finite updates"
        )


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
