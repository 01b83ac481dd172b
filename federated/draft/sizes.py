"""Sizes and rates for a first study, by rules that were tried on real data (see docs/decisions/study-files.md)."""

from __future__ import annotations

from dataclasses import dataclass

_FEW_EXAMPLES = 1_000
"""Below this a linear model has the better chances."""
_MOST_EXAMPLES_TRAINED = 12_000_000
"""Examples times passes times runs that take a minute or so with these models on a core."""
_AN_IMAGE = 10
"""An image takes a convolutional network so many times as long."""
_PASSES_OVER_IMAGES = 5
"""A small convolutional network needs about 100 passes before it does better than a constant answer by much."""
_MANY_IMAGES = 10_000
"""From here on a pass has so many steps that half of those passes will do."""
_MOST_IN_COHORT = 20
_COHORT = 10
_ANCHORS = 2
_STEPS = 10
"""Steps of a client in a round below which it passes over its examples twice."""


@dataclass(frozen=True)
class Sizes:
    """cohort: clients a round; None: all of them. epochs: passes of a client in a round."""

    rounds: int
    seeds: int
    epochs: int
    batch_size: int
    cohort: int | None
    every: int


def sizes_of(examples: int, clients: int, arms: int, images: bool = False) -> Sizes:
    """Rounds, seeds and batches for a federation of `clients` that hold `examples` in all."""
    cohort = _COHORT if clients > _MOST_IN_COHORT else None
    each = examples / clients
    batch_size = 16 if each < 200 else 32 if examples < 20_000 else 64
    epochs = _PASSES_OVER_IMAGES if images else 2 if each / batch_size < _STEPS else 1
    a_round = examples * epochs * (1.0 if cohort is None else cohort / clients) * (arms + _ANCHORS)
    a_round *= _AN_IMAGE if images else 1
    few_images = images and examples < _MANY_IMAGES  # these need their passes, whatever time they take
    for rounds, seeds in ((40, 5), (30, 5), (20, 5), (20, 3), *(() if few_images else ((10, 3),))):
        if a_round * rounds * seeds <= _MOST_EXAMPLES_TRAINED:
            break
    return Sizes(rounds, seeds, epochs, batch_size, cohort, rounds // 4)


def is_small(examples: int) -> bool:
    """Whether a linear model is the better choice."""
    return examples < _FEW_EXAMPLES
