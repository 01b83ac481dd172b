"""The course of a run so far: its state, and beside it the history, which no round depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import NamedTuple

from federated.metrics import Metrics
from federated.metrics.names import higher_is_better
from federated.run.history import History
from federated.run.state import RunState

BEST_ROUND = "generalisation/best_round"
"""In the last entry of a history whose best round was chosen, beside all that was measured of that round."""


class Best(NamedTuple):
    """The best evaluated round so far. value: of the metric that chooses. state: after that round."""

    value: float
    state: RunState


@dataclass(frozen=True)
class Course:
    """The state after the last round, and all measurements up to it; round 0 is the initial model. Immutable.

    best: where the config chooses a round by a metric, the best so far, of several the first.
    """

    state: RunState
    history: History = field(default_factory=History)
    best: Best | None = None

    @property
    def round(self) -> int:
        """Rounds done."""
        return self.state.round

    def then(self, state: RunState, metrics: Metrics) -> Course:
        """The course with this state, and metrics measured in its last round or after it."""
        return replace(self, state=state, history=self.history.then((state.round, metrics)))

    @property
    def kept(self) -> RunState:
        """The state whose model is kept: of the best round where one is chosen, else of the last."""
        return self.state if self.best is None else self.best.state

    def with_best(self, metric: str | None) -> Course:
        """The course after an evaluation, which may be the best so far by the metric; None: no round is chosen."""
        value = math.nan if metric is None else self.latest().get(metric, math.nan)
        if metric is None or math.isnan(value):
            return self
        sign = 1 if higher_is_better(metric) else -1
        if self.best is not None and sign * value <= sign * self.best.value:
            return self
        return replace(self, best=Best(value, self.state))

    def at_best(self) -> Metrics:
        """What was measured of the model that is kept, at the evaluation of its round."""
        kept = self.kept.round
        return {
            name: value
            for at, metrics in self.history
            if at == kept
            for name, value in metrics.items()
            if name.startswith("generalisation/")
        }

    def latest(self) -> Metrics:
        """All measurements of the last round."""
        measured: Metrics = {}
        for _, metrics in takewhile(lambda entry: entry[0] == self.round, reversed(self.history)):
            measured = {**metrics, **measured}
        return measured
