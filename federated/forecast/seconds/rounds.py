"""The costs of a round, from rounds as the run will have them or from shorter ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from federated.forecast.workload import round_batches
from federated.machine.queueing import Taken
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.forecast.probe import Watch

_MOST_ROUNDS, _REPEATS = 8, 3
_PATIENCE = 4.0
"""How many times as long as alone a probe may take beside other programs, which it needs as many rounds to tell."""
Costs = tuple[float, float, float, float]
"""Seconds of a full batch, of a client and of a round, and the cores that are busy."""


@dataclass(frozen=True)
class Timed:
    """Seconds, without what other programs took, of a round's local training and of the rest, and of all cores in it;
    its clients, the full batches they trained on."""

    training: float
    rest: float
    processor: float
    clients: int
    batches: float
    state: RunState

    @property
    def work(self) -> Timed:
        """The same in time of all cores."""
        share = self.processor / max(self.training + self.rest, 1e-9)
        return replace(self, training=share * self.training, rest=share * self.rest)


def whole_rounds(setup: Setup, watch: Watch, seconds: float) -> Costs:
    """The costs of a batch, a client and a round, and the busy cores, from rounds as the run will have them.

    Of times the median, as one round may be held up; of the processor's the mean, as a bill has all rounds.
    """
    state, rounds, before = initial_state(setup), list[Timed](), watch.taken
    while len(rounds) < 2 or (len(rounds) < _MOST_ROUNDS and _is_time_left(watch, before, seconds)):
        rounds.append(watch.round(setup, state, setup.trainers.cohort_size, None))
        state = rounds[-1].state
    quick = rounds[1:]  # the first of them touches fresh memory
    batch = float(np.median([each.training / max(each.batches, 1e-9) for each in quick]))
    rest = float(np.median([each.rest for each in quick]))
    whole = float(np.median([each.training + each.rest for each in quick]))
    return batch, 0.0, rest, float(np.mean([each.processor for each in quick])) / max(whole, 1e-9)


def few_steps(setup: Setup, watch: Watch, single: Timed, few: int, seconds: float) -> Costs:
    """The same from rounds of a few clients that are cut short: of single steps, and of twice as many again and again.

    So many that what a client's first step takes longer weighs little; at most as many as a client of the run does.
    """
    most = max(2, round(round_batches(setup) / max(setup.trainers.cohort_size, 1)))
    before, shorter, longer, steps = watch.taken, [single], list[Timed](), 2
    while not longer or (len(longer) < _REPEATS and _is_time_left(watch, before, seconds)):
        longer.append(watch.round(setup, initial_state(setup), few, steps))
        if _is_time_left(watch, before, seconds):
            shorter.append(watch.round(setup, initial_state(setup), few, 1))
        if steps < most and _is_time_left(watch, before, seconds / 2):
            longer, steps = [], min(2 * steps, most)
    alone = _from_few(shorter, longer)
    # Not how busy the cores were in a round: beside other programs its time is known less well than its work.
    work = _from_few([each.work for each in shorter], [each.work for each in longer])
    return *alone, round_by(work, setup) / max(round_by(alone, setup), 1e-9)


def _is_time_left(watch: Watch, before: Taken, seconds: float) -> bool:
    now = watch.taken
    return now.alone - before.alone < seconds and now.seconds - before.seconds < _PATIENCE * seconds


def _from_few(shorter: Sequence[Timed], longer: Sequence[Timed]) -> tuple[float, float, float]:
    """The costs of a batch, a client and a round, from rounds of a single step and of more.

    The quickest of either: beside a single step that was held up, more of them would seem to cost next to nothing.
    """
    one, several = (min(rounds, key=lambda each: each.training) for rounds in (shorter, longer))
    batch = (several.training - one.training) / (several.batches - one.batches)
    if batch <= 0:  # a hiccup in all of the shorter ones
        batch = several.training / several.batches
    beginning = max(one.training / one.clients - batch, 0.0)
    return batch, beginning + min(one.rest, several.rest) / one.clients, 0.0


def round_by(costs: Sequence[float], setup: Setup) -> float:
    """What a whole round costs. costs: of a batch, a client and a round."""
    batch, client, one = costs[:3]
    return one + setup.trainers.cohort_size * client + round_batches(setup) * batch
