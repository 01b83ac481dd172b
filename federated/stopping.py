"""When a run ends before its last round, and where its rounds are cut into segments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federated.config import RunConfig, Stop
from federated.evaluation import higher_is_better
from federated.state import Metrics


def segment_ends(config: RunConfig, done: int) -> Iterator[int]:
    """The rounds after which the model is evaluated, beyond the `done` ones; the last round always is."""
    every = config.evaluation.every
    yield from range((done // every + 1) * every, config.rounds, every)
    if done < config.rounds:
        yield config.rounds


def num_segments(config: RunConfig) -> int:
    """How many there are from the first round to the last: counted, not listed."""
    return -(-config.rounds // config.evaluation.every)


def reason_to_stop(stop: Stop | None, history: Sequence[tuple[int, Metrics]]) -> str | None:
    """Why the run should end now, in words; None where it should go on.

    Converged: `patience` evaluations in a row did not improve on the best value before them by more than
    `min_improvement`. The watched values are the metric's latest ones at each evaluation.
    """
    values = _at_evaluations(stop.metric, history) if stop is not None else []
    if stop is None or not values:
        return None
    sign = 1.0 if higher_is_better(stop.metric) else -1.0
    gains = [sign * value for value in values]
    if stop.target is not None and gains[-1] >= sign * stop.target:
        return f"{stop.metric} reached {values[-1]:.6g} (target {stop.target:.6g})"
    if stop.patience is not None and len(gains) > stop.patience:
        best_before = max(gains[: -stop.patience])
        if max(gains[-stop.patience :]) <= best_before + stop.min_improvement:
            least = f"{stop.min_improvement:g}"
            return f"{stop.metric} converged: no improvement above {least} in {stop.patience} evaluations"
    return None


def _at_evaluations(metric: str, history: Sequence[tuple[int, Metrics]]) -> list[float]:
    """The metric's latest value at each evaluation; an evaluation is an entry with a `generalisation/` metric."""
    values, latest = [], None
    for _, metrics in history:
        latest = metrics.get(metric, latest)
        if any(name.startswith("generalisation/") for name in metrics) and latest is not None:
            values.append(latest)
    return values
