"""The time of one evaluation, extrapolated from subsets where all examples would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data_partitioners.partition import Slices, flat_of, sizes_of
from federated.evaluation.evaluate import evaluate
from federated.forecast.workload import num_evaluated
from federated.machine.queueing import Stopwatch
from federated.run.setup import Setup
from federated.run.state import RunState

_EVALUATED = (16, 64, 256, 1_024)
"""Examples of the central test set, as many of the training examples and of the other held-out ones, in evaluations of
part of them."""

_LONG, _TOO_LONG = 0.25, 0.5
"""Shares of a setting's seconds from which on an evaluation is not repeated, and no larger one tried."""


def evaluation_seconds(setup: Setup, state: RunState, seconds: float) -> float:
    """Wall time of one evaluation without fine-tuning; beyond `seconds` estimated from two on fewer examples.

    What an evaluation takes at any rate is in both, what grows with the examples is their difference. The two are the
    largest for which there is time; the first of all is done twice, as its first time warms up.
    """
    evaluation = setup.config.evaluation.model_copy(update={"personalisation": None})
    setup = setup.with_config(setup.config.model_copy(update={"evaluation": evaluation}))
    times, counts = list[float](), list[int]()
    for most in _EVALUATED:
        part = _part_of(setup, most)
        taken = _timed_evaluation(part, state)
        if not times or taken < _LONG * seconds:
            taken = min(taken, _timed_evaluation(part, state))
        times.append(taken)
        counts.append(sum(num_evaluated(part).values()))
        if len(times) > 1 and taken > _TOO_LONG * seconds:
            break
    rest = sum(num_evaluated(setup).values()) - counts[-1]
    slope = max(times[-1] - times[-2], 0.0) / max(counts[-1] - counts[-2], 1)
    estimate = times[-1] + rest * slope
    return _timed_evaluation(setup, state) if rest and estimate <= seconds else estimate


def _timed_evaluation(setup: Setup, state: RunState) -> float:
    state = replace(state)  # so that the clusters of another evaluation's clients are not known yet
    stopwatch = Stopwatch()
    evaluate(state, setup)
    return stopwatch.taken().alone


def _part_of(setup: Setup, most: int) -> Setup:
    """The same with at most so many test examples, as many of the training sample, and about as many of the others."""
    federation, evaluation = setup.federation, setup.config.evaluation
    others = sum(len(indices) for name, indices in federation.held_out_sets().items() if name != "test")
    keep = min(1.0, most / max(others, 1))
    few = evaluation.model_copy(update={"training_examples": min(most, evaluation.training_examples)})
    part = replace(
        federation,
        test=federation.test[:most],
        own_held_out=_first(federation.own_held_out, keep),
        own_validation=_first(federation.own_validation, keep),
        unseen=_first(federation.unseen, keep),
        own_tuning=_first(federation.own_tuning, keep),
        tuning_clients=_first(federation.tuning_clients, keep),
    )
    config = setup.config.model_copy(update={"evaluation": few})
    return replace(setup, federation=part).with_config(config)


def _first(held: Sequence[np.ndarray], share: float) -> Slices:
    """The first examples of each client, so large a share of them."""
    sizes, left = sizes_of(held), np.rint(share * sizes_of(held)).astype(np.int64)
    place = np.arange(int(sizes.sum())) - np.repeat(sizes.cumsum() - sizes, sizes)
    return Slices(flat_of(held)[place < np.repeat(left, sizes)], left)
