"""The stopping rule of a run, and the division of its rounds into segments between evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from federated.config.run import RunConfig, Stop
from federated.metrics.names import higher_is_better
from federated.run.state import Entry


def segment_ends(config: RunConfig, done: int) -> Iterator[int]:
    """The rounds after the first `done` ones at which the model is evaluated; the last round is always one."""
    every = config.evaluation.every
    yield from range((done // every + 1) * every, config.rounds, every)
    if done < config.rounds:
        yield config.rounds


def num_segments(config: RunConfig) -> int:
    """The number of segments from the first round to the last, computed without listing them."""
    return -(-config.rounds // config.evaluation.every)


class StopRule:
    """The stopping rule of one run, queried after each evaluation. Reads each entry of the history once.

    Converged: `patience` evaluations in a row did not improve on the best value before them by more than
    `min_improvement`. The watched values are the metric's latest ones at each evaluation; an evaluation is an entry
    with a `generalisation/` metric.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._sign = 1.0 if higher_is_better(stop.metric) else -1.0
        self._forget()

    def reason(self, history: Sequence[Entry]) -> str | None:
        """The reason, in words, why the run should end now; None where it should continue."""
        self._read(history)
        stop, gains = self._stop, self._best
        if not gains or self._value is None:
            return None
        if stop.target is not None and self._sign * self._value >= self._sign * stop.target:
            return f"{stop.metric} reached {self._value:.6g} (target {stop.target:.6g})"
        if stop.patience is None or len(gains) <= stop.patience:
            return None
        # The best value overall exceeds that only if the best of the latest ones does.
        if gains[-1] > gains[-1 - stop.patience] + stop.min_improvement:
            return None
        least = f"{stop.min_improvement:g}"
        return f"{stop.metric} converged: no improvement above {least} in {stop.patience} evaluations"

    def _forget(self) -> None:
        self._done = 0
        self._last_read: Entry | None = None
        self._latest: float | None = None
        self._value: float | None = None  # at the last evaluation
        self._best: list[float] = []  # up to each evaluation, with the sign that makes more better

    def _read(self, history: Sequence[Entry]) -> None:
        """Read the new entries of the history; all of them where it does not continue the last one, as in a retry."""
        if self._done > len(history) or (self._done and history[self._done - 1] is not self._last_read):
            self._forget()
        for entry in history[self._done :]:
            metrics = entry[1]
            self._latest = metrics.get(self._stop.metric, self._latest)
            if self._latest is not None and any(name.startswith("generalisation/") for name in metrics):
                self._value = self._latest
                self._best.append(max([*self._best[-1:], self._sign * self._latest]))
            self._last_read = entry
        self._done = len(history)
