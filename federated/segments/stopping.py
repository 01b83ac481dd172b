"""The end of a run: its stopping rule, or its last round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from federated.config.run import RunConfig, Stop
from federated.metrics.names import higher_is_better
from federated.run.course import Course
from federated.run.history import Entry
from federated.run.preparing.promise import Promise

Ended = Callable[[Course], str | None]
"""Course after an evaluation -> the reason, in words, why no further segment should start; None to go on."""


def ending(config: RunConfig, stop: Stop | None, promise: Promise | None = None) -> Ended:
    """The test for the end of one run, to be asked about each of its courses in turn.

    stop: see `Setup.stop`. promise: see `Setup.promise`; a run ends before it exceeds its budget.
    """
    rule = None if stop is None else StopRule(stop)

    def ended(course: Course) -> str | None:
        if rule is not None and (reason := rule.reason(course.history)):
            return reason
        if course.round >= config.rounds:
            return f"the last round, {config.rounds}"
        return None if promise is None or course.round < promise.last_round else _budget(config, promise)

    return ended


def _budget(config: RunConfig, promise: Promise) -> str:
    done, more = (promise.spent(promise.last_round + at).epsilon for at in (0, 1))
    return (
        f"privacy.epsilon_budget: epsilon {done:.4g} is spent after round {promise.last_round}, and one more round "
        f"would bring it to {more:.4g}, above {config.privacy.epsilon_budget:g}"
    )


class StopRule:
    """The stopping rule of one run, queried after each evaluation. Reads each entry of the history once.

    Converged: `patience` evaluations in a row did not improve on the best value before them by more than
    `min_improvement`. The watched values are the metric's latest ones at each evaluation; an evaluation is an entry
    with a `generalisation/` metric. One before which the metric had no new value, as a round in which no client was
    heard has no loss, is not counted.
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
                self._value, self._latest = (
                    self._latest,
                    None,
                )  # no value since then is no lack of improvement
                self._best.append(max([*self._best[-1:], self._sign * self._value]))
            self._last_read = entry
        self._done = len(history)
