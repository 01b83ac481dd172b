"""Choose between two equivalent trainers by timing them during training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.local_training.steps.updates import LocalTrainer, Updates
from federated.local_training.steps.work import LocalWork

_TIMED, _WINDOW = 2, 5
_HOPELESS, _MARGIN, _CHANGED = 3.0, 0.95, 1.3
_PATIENCE = 8


class Race:
    """Between two ways of doing the same work, by their pace: seconds for a unit of it.

    Each goes for three rounds, of which the first warms up, and the one with the quicker round stays, the first if it
    is close. From then on the pace is watched: where its median over five rounds is no longer what it was, as other
    programs come and go, the other way is tried again. Each time for nothing, the next try waits twice as long. A try
    whose first warm round takes three times as long as the present way ends there.
    """

    def __init__(self) -> None:
        self.way = 0
        self._paces: list[float] = []
        self._is_cold = self._is_first = True
        self._to_beat: float | None = None
        self._usual: float | None = None
        self._rounds, self._patience = 0, _PATIENCE

    def told(self, pace: float) -> None:
        """A round of the present way took so long for a unit of work."""
        if self._is_cold:
            self._is_cold = False
            return
        self._paces = [*self._paces, pace][-_WINDOW:]
        if self._is_first or self._to_beat is not None:
            is_hopeless = self._to_beat is not None and pace > _HOPELESS * self._to_beat
            if len(self._paces) == _TIMED or is_hopeless:
                self._has_run(min(self._paces))
        elif self._has_changed():
            self._try_other()

    def _has_run(self, best: float) -> None:
        """The present way has shown what it can."""
        if self._to_beat is None:
            self._try_other()
        else:
            self._settle(best, self._to_beat)

    def _try_other(self) -> None:
        self._to_beat, self.way = median(self._paces), 1 - self.way
        self._is_first, self._is_cold, self._paces = False, True, []

    def _settle(self, tried: float, to_beat: float) -> None:
        """With the way that was tried, or with the one before."""
        if tried < _MARGIN * to_beat:
            self._patience = _PATIENCE
        else:
            self.way = 1 - self.way
            self._patience *= 2
        self._to_beat = self._usual = None
        self._rounds, self._paces = 0, []

    def _has_changed(self) -> bool:
        """Whether the pace of the way that was settled on is another than at first, and it is time to look."""
        self._rounds += 1
        if len(self._paces) < _WINDOW:
            return False
        now = median(self._paces)
        self._usual = self._usual or now
        return self._rounds >= self._patience and not self._usual / _CHANGED < now < self._usual * _CHANGED


def quicker(work: LocalWork, ways: Sequence[LocalTrainer], race: Race) -> LocalTrainer:
    """A trainer that goes the way that a race finds quicker. ways: two, with the same results to the bit.

    Rounds whose steps are given, such as a forecast's short ones, are no measure for the others and left out.
    """

    def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Updates:
        way, started = ways[race.way], time.perf_counter()
        updates = way(received, cohort, done, terms)
        if terms.steps is None:
            examples = sum(len(work.clients[client]) for client in cohort)
            race.told((time.perf_counter() - started) / examples)
        return updates

    return train
