"""Random numbers are a function of (seed, purpose, key) and of nothing else."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from federated.foundation.randomness import Purpose, generator, torch_seeded


def test_the_same_key_gives_the_same_numbers() -> None:
    first = generator(3, Purpose.BATCHES, 2, 7).random(100)
    assert np.array_equal(generator(3, Purpose.BATCHES, 2, 7).random(100), first)


def test_every_part_of_the_key_matters() -> None:
    keys = [
        (),
        (0,),
        (1,),
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 7),
        (7, 2),
        (0, 0, 0),
        (12,),
        (2**31,),
        (2**40,),
    ]
    first = [
        generator(seed, purpose, *key).integers(2**63)
        for seed, purpose, key in itertools.product((0, 1, 2, 2**32, 2**64), Purpose, keys)
    ]
    assert len(set(first)) == len(first) == 5 * len(Purpose) * len(keys)


def test_what_others_draw_changes_nothing() -> None:
    alone = generator(0, Purpose.BATCHES, 4, 1).random(10)
    before = generator(0, Purpose.BATCHES, 4, 0)
    before.random(1000)
    mine = generator(0, Purpose.BATCHES, 4, 1)
    before.random(1000)
    np.random.seed(1)  # noqa: NPY002 - a global draw by somebody else
    assert np.array_equal(mine.random(10), alone)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((0, Purpose.BATCHES, 1, 1), (0, Purpose.BATCHES, 1, 2)),
        ((0, Purpose.BATCHES, 1, 1), (0, Purpose.BATCHES, 2, 1)),
        ((0, Purpose.BATCHES, 1, 1), (1, Purpose.BATCHES, 1, 1)),
        ((0, Purpose.BATCHES, 1, 1), (0, Purpose.DROPOUT, 1, 1)),
        ((0, Purpose.COMPRESSION, 1), (0, Purpose.COMPRESSION, 1, 0)),
    ],
)
def test_neighbouring_keys_are_uncorrelated(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    draws = 10_000
    a, b = (generator(seed, Purpose(purpose), *key).random(draws) for seed, purpose, *key in (left, right))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(draws)


def test_first_draws_over_clients_are_uniform() -> None:
    """A first draw of each client, as cohorts and batches take them, is a fair sample."""
    first = np.array([generator(0, Purpose.BATCHES, 0, client).random() for client in range(4000)])
    assert abs(first.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 4000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 5 / np.sqrt(4000)


def test_purposes_keep_their_numbers() -> None:
    """They are part of every result: only append."""
    assert [(purpose.name, purpose.value) for purpose in Purpose][:9] == [
        ("PARTITION", 0),
        ("HELD_OUT", 1),
        ("INITIAL_PARAMETERS", 2),
        ("COHORT", 3),
        ("BATCHES", 4),
        ("COMPRESSION", 5),
        ("NOISE", 6),
        ("DROPOUT", 7),
        ("DATA", 8),
    ]


def test_the_numbers_are_the_same_in_every_version() -> None:
    """Other values here mean that every result of before can no longer be repeated."""
    numbers = generator(7, Purpose.COHORT, 3, 11)
    assert numbers.integers(10**6, size=4).tolist() == [768269, 873018, 196480, 473444]
    assert numbers.permutation(6).tolist() == [4, 0, 3, 2, 5, 1]
    with torch_seeded(7, Purpose.INITIAL_PARAMETERS):
        assert torch.randint(10**6, (3,)).tolist() == [898418, 607239, 856763]


def test_negative_seeds_and_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        generator(-1, Purpose.BATCHES)
    with pytest.raises(ValueError, match="non-negative"):
        generator(0, Purpose.BATCHES, -1)


def test_torch_seeded_is_a_function_of_its_key() -> None:
    def draw(*key: int) -> list[float]:
        with torch_seeded(5, Purpose.DROPOUT, *key):
            return torch.rand(4).tolist()

    assert draw(1, 2) == draw(1, 2)
    assert len({tuple(draw(*key)) for key in [(1, 2), (2, 1), (1,), ()]}) == 4


def test_torch_seeded_restores_the_global_state() -> None:
    before = torch.get_rng_state()
    with torch_seeded(0, Purpose.DROPOUT):
        torch.rand(3)
        with torch_seeded(1, Purpose.DROPOUT):
            torch.rand(5)
        inner = torch.rand(1)
    assert torch.equal(torch.get_rng_state(), before)
    with torch_seeded(0, Purpose.DROPOUT):
        torch.rand(3)
        assert torch.equal(torch.rand(1), inner)


def test_torch_seeded_restores_the_global_state_after_an_error() -> None:
    def fail() -> None:
        with torch_seeded(0, Purpose.DROPOUT):
            torch.rand(3)
            raise KeyError

    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_touches_the_other_global_generators() -> None:
    numpy_before, python_before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    generator(0, Purpose.BATCHES).random(10)
    with torch_seeded(0, Purpose.DROPOUT):
        torch.rand(3)
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002
    assert random.getstate() == python_before
