"""The division of a run's rounds into segments."""

from __future__ import annotations

from collections.abc import Iterator

from federated.config.run import RunConfig


def segment_ends(config: RunConfig, done: int) -> Iterator[int]:
    """The rounds after the first `done` ones at which the model is evaluated; the last round is always one."""
    every = config.evaluation.every
    yield from range((done // every + 1) * every, config.rounds, every)
    if done < config.rounds:
        yield config.rounds


def num_segments(config: RunConfig) -> int:
    """The number of segments from the first round to the last, computed without listing them."""
    return -(-config.rounds // config.evaluation.every)
