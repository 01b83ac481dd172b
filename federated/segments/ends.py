"""The division of a run's rounds into segments."""

from __future__ import annotations

from collections.abc import Iterator

from federated.config.run import RunConfig


def segment_ends(config: RunConfig, done: int, last: int | None = None) -> Iterator[int]:
    """The rounds after the first `done` ones at which the model is evaluated; the last round is always one.

    last: where that comes before `config.rounds`, see `Setup.last_round`.
    """
    every, last = config.evaluation.every, last or config.rounds
    yield from range((done // every + 1) * every, last, every)
    if done < last:
        yield last


def num_segments(config: RunConfig, last: int | None = None) -> int:
    """The number of segments from the first round to the last, computed without listing them."""
    return -(-(last or config.rounds) // config.evaluation.every)
