"""The seeds of many generators at once: numpy's SeedSequence, hashed for all clients of a cohort in one go.

numpy makes a SeedSequence in some 8 us, most of them in hashing the key, which differs in its last word alone from
client to client. This is that hash (M. E. O'Neill 2015, "Developing a seed_seq Alternative", as numpy.random has it)
over an array of last words. The numbers are numpy's to the bit; a test holds one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence, SeedSequence

_POOL = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_SHIFT = np.uint32(16)
_WORDS = 8
"""32-bit words of state that PCG64 is seeded with."""


class Seed(ISpawnableSeedSequence):
    """A precomputed SeedSequence(entropy, spawn_key=key) for PCG64. It spawns in the same way."""

    def __init__(self, entropy: int, key: tuple[int, ...], state: np.ndarray) -> None:
        """state: four 64-bit words."""
        self._entropy, self._key, self._state = entropy, key, state
        self._whole: SeedSequence | None = None

    def generate_state(self, n_words: int, dtype: type = np.uint32) -> np.ndarray:  # type: ignore[override]
        if n_words == len(self._state) and dtype is np.uint64:
            return self._state
        return self._sequence().generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[SeedSequence]:  # type: ignore[override]
        return self._sequence().spawn(n_children)

    def _sequence(self) -> SeedSequence:
        if self._whole is None:
            self._whole = SeedSequence(self._entropy, spawn_key=self._key)
        return self._whole


def seeds(entropy: int, key: tuple[int, ...], last: Sequence[int]) -> list[Seed]:
    """The seeds of SeedSequence(entropy, spawn_key=(*key, number)) for every number of `last`, each below 2^32."""
    states = _states(_pools(entropy, key, np.array([int(number) for number in last], np.uint32)))
    return [Seed(entropy, (*key, number), state) for number, state in zip(last, states, strict=True)]


def _pools(entropy: int, key: tuple[int, ...], last: np.ndarray) -> np.ndarray:
    """The pools [n, 4] of the sequences, from that of the key without its last word."""
    before = SeedSequence(entropy, spawn_key=key)
    words = max(_POOL, _words_of(entropy)) + sum(map(_words_of, key))
    hashed = _POOL * _POOL + _POOL * (words - _POOL)  # how often the hash's constant has changed by now
    constants = _powers(_INIT_A * pow(_MULT_A, hashed, 2**32), _MULT_A, _POOL + 1)
    mixed = _hashed(last[:, None] ^ constants[:-1], constants[1:])
    pools: np.ndarray = _MIX_LEFT * before.pool - _MIX_RIGHT * mixed
    pools ^= pools >> _SHIFT
    return pools


def _states(pools: np.ndarray) -> np.ndarray:
    """generate_state(4, uint64) of each pool, uint64 [n, 4]."""
    constants = _powers(_INIT_B, _MULT_B, _WORDS + 1)
    words = _hashed(np.tile(pools, _WORDS // _POOL) ^ constants[:-1], constants[1:])
    return words.astype("<u4", copy=False).view("<u8").astype(np.uint64, copy=False)


def _hashed(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    values *= factors
    values ^= values >> _SHIFT
    return values


def _powers(start: int, factor: int, count: int) -> np.ndarray:
    """start, start * factor, ... modulo 2^32."""
    powers = [start % 2**32]
    while len(powers) < count:
        powers.append(powers[-1] * factor % 2**32)
    return np.array(powers, np.uint32)


def _words_of(number: int) -> int:
    """The number of 32-bit words into which numpy splits an integer."""
    return max(1, -(-int(number).bit_length() // 32))
