"""Warnings about guarantees that mean little, and about what a run reads beside them."""

from __future__ import annotations

from collections.abc import Iterator

from federated.metrics.dictionary.privacy import is_covered
from federated.run.preparing.promise import large_delta, num_units
from federated.run.setup import Setup


def of_privacy(setup: Setup) -> Iterator[str]:
    """A delta that permits too much, and a stop rule that reads what the guarantee does not cover."""
    promise, privacy = setup.promise, setup.parts.privacy
    if promise is None:
        return
    of = num_units(setup.config, privacy, promise.participated(setup.last_round))
    if promise.delta >= 1 / of:
        yield (
            f"privacy.delta: {large_delta(promise.delta, of, promise.unit)}; state less, such as {of**-1.1:.2g}, or "
            "leave it out"
        )
    if setup.stop is not None and not is_covered(setup.stop.metric):
        yield (
            f"stop.metric: {setup.stop.metric} is not covered by epsilon, and when the run ends would tell of it; "
            "watch the central test set, or leave stop out"
        )
