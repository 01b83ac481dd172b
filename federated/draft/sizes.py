"""Sizes and rates for a first study, by rules that were tried on real tables (see docs/decisions/study-files.md)."""

from __future__ import annotations

from dataclasses import dataclass

_FEW_EXAMPLES = 1_000
"""Below this a linear model has the better chances."""
_MOST_EXAMPLES_TRAINED = 12_000_000
"""Examples times rounds times runs that take a minute or so with these models on a core."""
_MOST_IN_COHORT = 20
_COHORT = 10
_RUNS_A_SEED = 3
"""The arm and its two anchors."""


@dataclass(frozen=True)
class Sizes:
    """cohort: clients a round; None: all of them."""

    rounds: int
    seeds: int
    batch_size: int
    cohort: int | None
    every: int


def sizes_of(examples: int, clients: int, arms: int) -> Sizes:
    """Rounds, seeds and batches for a federation of `clients` that hold `examples` in all."""
    cohort = _COHORT if clients > _MOST_IN_COHORT else None
    share = 1.0 if cohort is None else cohort / clients
    a_round = examples * share * (arms + _RUNS_A_SEED - 1)
    for rounds, seeds in ((40, 5), (30, 5), (20, 5), (20, 3), (10, 3)):
        if a_round * rounds * seeds <= _MOST_EXAMPLES_TRAINED:
            break
    batch_size = 16 if examples / clients < 100 else 32 if examples < 20_000 else 64
    return Sizes(rounds, seeds, batch_size, cohort, rounds // 4)


def is_small(examples: int) -> bool:
    """Whether a linear model is the better choice."""
    return examples < _FEW_EXAMPLES
