"""The course of a run so far: its state, and beside it the history, which no round depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile

from federated.metrics import Metrics
from federated.run.history import History
from federated.run.state import RunState


@dataclass(frozen=True)
class Course:
    """The state after the last round, and all measurements up to it; round 0 is the initial model. Immutable."""

    state: RunState
    history: History = field(default_factory=History)

    @property
    def round(self) -> int:
        """Rounds done."""
        return self.state.round

    def then(self, state: RunState, metrics: Metrics) -> Course:
        """The course with this state, and metrics measured in its last round or after it."""
        return Course(state, self.history.then((state.round, metrics)))

    def latest(self) -> Metrics:
        """All measurements of the last round."""
        measured: Metrics = {}
        for _, metrics in takewhile(lambda entry: entry[0] == self.round, reversed(self.history)):
            measured = {**metrics, **measured}
        return measured
