"""Seeds of many generators at once, against numpy's own, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from federated.foundation.randomness import Generators, Purpose, generator
from federated.foundation.seed_hashing import seeds

LAST = [0, 1, 5, 99, 2**16, 2**31, 2**32 - 1]


@pytest.mark.parametrize("entropy", [0, 1, 2**31, 2**32, 2**64 - 1, 2**130, 2**200 + 5])
@pytest.mark.parametrize("key", [(), (4,), (4, 7), (0, 0), (4, 2**33), (1, 2, 3, 4, 5)])
def test_states_are_those_of_numpy(entropy, key):
    for seed, number in zip(seeds(entropy, key, LAST), LAST, strict=True):
        expected = np.random.SeedSequence(entropy, spawn_key=(*key, number))
        assert np.array_equal(seed.generate_state(4, np.uint64), expected.generate_state(4, np.uint64))
        assert np.array_equal(seed.generate_state(7), expected.generate_state(7))


def test_generators_are_those_made_one_by_one():
    clients = [41, 0, 7, 7, 100_000]
    several = Generators(3, Purpose.COMPRESSION, 12, clients)
    for at, client in enumerate(clients):
        expected = generator(3, Purpose.COMPRESSION, 12, client)
        assert np.array_equal(several[at].permutation(50), expected.permutation(50))
    assert np.array_equal(several[2:][1].random(5), several[3].random(5))


def test_what_is_spawned_is_what_numpy_spawns():
    ours, numpys = Generators(3, Purpose.COMPRESSION, 12, [5])[0], generator(3, Purpose.COMPRESSION, 12, 5)
    for _ in range(2):  # the second time spawns others
        for left, right in zip(ours.spawn(2), numpys.spawn(2), strict=True):
            assert np.array_equal(left.random(4), right.random(4))


def test_each_call_makes_a_new_generator():
    several = Generators(0, Purpose.BATCHES, 0, [1, 2])
    first = several[0].random(3)
    assert np.array_equal(several[0].random(3), first)
    held = [several[0], several[1]]
    assert not np.array_equal(held[0].random(3), held[1].random(3))


def test_no_clients():
    assert seeds(0, (4, 7), []) == []


def test_integers_of_numpy_are_integers():
    (seed,) = seeds(np.int64(3), (np.int64(4), np.int64(7)), [np.int64(5)])
    expected = np.random.SeedSequence(3, spawn_key=(4, 7, 5)).generate_state(4, np.uint64)
    assert np.array_equal(seed.generate_state(4, np.uint64), expected)
