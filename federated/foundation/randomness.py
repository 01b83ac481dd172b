"""The only source of random numbers: a generator is a function of (seed, purpose, key).

Nothing else in the project draws numbers. Because a generator depends on its key alone, adding a client,
retrying a round or changing the order of work changes no other client's numbers, and two arms that share a seed
share their partition, their initial model, their cohorts and their batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum, unique
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

from federated.foundation.secure_numbers import secure_generator
from federated.foundation.seed_hashing import Seed, seeds


@unique
class Purpose(IntEnum):
    """The purposes of random numbers. The values are part of every result: never renumber, only append."""

    PARTITION = 0
    HELD_OUT = 1
    INITIAL_PARAMETERS = 2
    COHORT = 3
    BATCHES = 4
    COMPRESSION = 5
    NOISE = 6
    DROPOUT = 7
    DATA = 8
    LOCAL_WORK = 9
    FINGERPRINT = 10
    NETWORK = 11
    EVALUATION = 12
    CLIENT_NOISE = 13
    FORECAST = 20
    NEIGHBOURS = 21
    CANARIES = 22
    LEAKAGE = 23
    TRAINED_PART = 24
    COALITIONS = 25
    TUNING = 26


def generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Independent numbers for one purpose; `key` is usually (round, client). All integers >= 0."""
    whole = (int(purpose), *map(int, key))
    return _seeded_by(Seed(int(seed), whole, _state(int(seed), whole)))


@lru_cache(maxsize=1024)
def _state(seed: int, key: tuple[int, ...]) -> np.ndarray:
    """What goes into a generator's seed, hashed once where several runs of one seed ask for the same numbers."""
    return np.random.SeedSequence(seed, spawn_key=key).generate_state(4, np.uint64)


def key_of(done: int, stream: int = 0) -> tuple[int, ...]:
    """The beginning of the key of a round's numbers. stream: of several in one round, from 1; 0: there is but one."""
    return (stream, done) if stream else (done,)


class Generators(Sequence[np.random.Generator]):
    """`generator(seed, purpose, *key_of(done, stream), client)` of each of some clients, made when they are asked for.

    What goes into their seeds is hashed for all at once, at the first call: most compressors draw nothing.
    """

    def __init__(
        self, seed: int, purpose: Purpose, done: int, clients: Sequence[int], stream: int = 0
    ) -> None:
        self._key, self._clients, self._stream = (seed, purpose, done), clients, stream

    def __len__(self) -> int:
        return len(self._clients)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Generators(*self._key, self._clients[at], self._stream)
        return _seeded_by(self._seeds[at])

    def __iter__(self) -> Iterator[np.random.Generator]:
        return map(_seeded_by, self._seeds)

    @cached_property
    def _seeds(self) -> list[Seed]:
        seed, purpose, done = self._key
        return seeds(seed, (int(purpose), *key_of(done, self._stream)), self._clients)


class NoiseSource(NamedTuple):
    """All numbers that must stay unknown for a guarantee to hold come from here, so that one field decides on them.

    seed: of the run. secure: numbers come from a secure source, and the keys below have no effect.
    """

    seed: int
    secure: bool = False

    def of_server(self, done: int, *stream: int) -> np.random.Generator:
        """Numbers of the server for the round after `done` rounds. stream: of several, from 1."""
        return secure_generator() if self.secure else generator(self.seed, Purpose.NOISE, done, *stream)

    def of_cohort(self, *key: int) -> np.random.Generator:
        """Numbers of the draw of a cohort, where a guarantee rests on its staying unknown."""
        return secure_generator() if self.secure else generator(self.seed, Purpose.COHORT, *key)

    def of_clients(self, done: int, clients: Sequence[int], stream: int = 0) -> Sequence[np.random.Generator]:
        """Numbers of each of these clients, whatever the shard, the worker and the order that it trains in."""
        if self.secure:
            return [secure_generator() for _ in clients]
        return Generators(self.seed, Purpose.CLIENT_NOISE, done, clients, stream)


def _seeded_by(seed: Seed) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))  # type: ignore[arg-type]  # takes any ISeedSequence


@contextmanager
def torch_seeded(seed: int, purpose: Purpose, *key: int) -> Iterator[None]:
    """Within this context torch's own global generator is a function of (seed, purpose, key).

    For what cannot be handed a generator: the constructors of modules (their initial parameters) and
    dropout. The state from before is restored.
    """
    before = torch.get_rng_state()
    number = int(generator(seed, purpose, *key).integers(2**63))
    # Not torch.manual_seed: without a device it keeps a formatted stack trace of every call for a later start of CUDA.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def torch_state() -> torch.Tensor:
    """The state of torch's own generator: another one later where something has drawn from it meanwhile."""
    return torch.get_rng_state()


@contextmanager
def torch_watched() -> Iterator[Callable[[], bool]]:
    """Whether anything in this context drew from torch's own generator, to be asked after it; the state is restored."""
    before = torch.get_rng_state()
    drew: list[bool] = []
    try:
        yield lambda: drew[0]
    finally:
        drew.append(not torch.equal(before, torch.get_rng_state()))
        torch.set_rng_state(before)


def seeded(seed: bytes) -> np.random.Generator:
    """Numbers that both ends of a wire draw alike, from a seed in the payload that one of them drew."""
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(seed, "little")))
