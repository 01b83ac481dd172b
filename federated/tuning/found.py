"""The findings of an arm's tuning: trials, finalists, the choice, and how sure it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

Ended = Literal["complete", "pruned", "diverged", "failed"]
"""A trial's end: after all its rounds or by its stop rule, before them by the rule of the search, not finite, or by an
error of what it was to train."""


@dataclass(frozen=True)
class Cost:
    """What was spent: rounds, MB up and down, seconds of wall time, and epsilon by basic composition where promised.

    used: by the metrics of a run's bill; what some training did not know of itself is in no sum.
    """

    rounds: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    epsilon: float = 0.0
    used: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Cost) -> Cost:
        known = [each.used for each in (self, other) if each != Cost()] or [{}]
        return Cost(
            self.rounds + other.rounds,
            self.megabytes + other.megabytes,
            self.seconds + other.seconds,
            self.epsilon + other.epsilon,
            {name: sum(used[name] for used in known) for name in known[0] if name in known[-1]},
        )


@dataclass(frozen=True)
class Trial:
    """One trial. score: None where it diverged or failed; of one that was pruned its last. why: it failed."""

    number: int
    values: Mapping[str, Any]
    score: float | None
    ended: Ended
    cost: Cost
    why: str = ""


@dataclass(frozen=True)
class Finalist:
    """A trial's values with further seeds. scores: None where a run diverged or failed."""

    number: int
    scores: tuple[float | None, ...]
    cost: Cost

    @property
    def mean(self) -> float:
        """NaN where a run diverged."""
        return float(np.mean([np.nan if score is None else score for score in self.scores]))


@dataclass(frozen=True)
class ArmTuning:
    """The tuning of an arm. metric: by which it chose, higher_is_better: its direction.

    stated: what the study file states for the fields that it chose. space: path -> as the file states it. edges: paths
    whose choice is at the end of its space. choice: the finalist with the best mean, of equal ones the first trial's;
    {} where nothing was to be chosen.
    """

    arm: str
    metric: str
    higher_is_better: bool
    space: Mapping[str, str]
    stated: Mapping[str, Any]
    trials: tuple[Trial, ...]
    finalists: tuple[Finalist, ...]
    choice: Mapping[str, Any]
    edges: tuple[str, ...] = ()

    @property
    def best_first(self) -> list[Finalist]:
        """The finalists by their means; one that diverged is last."""
        return in_order(self.finalists, higher_is_better=self.higher_is_better)

    @property
    def trained(self) -> list[Trial]:
        """The trials that were trained. One with the values of an earlier one has its outcome, and spent nothing."""
        return [
            trial
            for at, trial in enumerate(self.trials)
            if all(trial.values != before.values for before in self.trials[:at])
        ]

    @property
    def trainings(self) -> int:
        """The trainings of its trials and finalists."""
        return len(self.trained) + sum(len(finalist.scores) for finalist in self.finalists)

    @property
    def cost(self) -> Cost:
        """Of all these trainings."""
        every = [*(trial.cost for trial in self.trained), *(finalist.cost for finalist in self.finalists)]
        return sum(every, Cost())

    @property
    def runner_up(self) -> tuple[float, ...]:
        """By how much the choice is better than the next finalist, seed by seed; () without one."""
        if len(self.finalists) < 2:
            return ()
        first, second = self.best_first[:2]
        sign = 1 if self.higher_is_better else -1
        pairs = zip(first.scores, second.scores, strict=True)
        return tuple(sign * (a - b) for a, b in pairs if a is not None and b is not None)

    def best_so_far(self) -> list[float | None]:
        """The best score of the trials that completed, after each trial."""
        pick, found, best = (max if self.higher_is_better else min), [], None
        for trial in self.trials:
            if trial.ended == "complete" and trial.score is not None:
                best = trial.score if best is None else pick(best, trial.score)
            found.append(best)
        return found


def in_order(finalists: Sequence[Finalist], *, higher_is_better: bool) -> list[Finalist]:
    """Finalists, the best mean first, of equal ones that of the earlier trial; one that diverged is last."""
    sign = -1 if higher_is_better else 1

    def place(each: Finalist) -> tuple[bool, float, int]:
        lost = bool(np.isnan(each.mean))
        return lost, 0.0 if lost else sign * each.mean, each.number

    return sorted(finalists, key=place)


def as_json(found: Sequence[ArmTuning]) -> str:
    """The content of `tuning.json`; `from_json` reads it."""
    return json.dumps([asdict(each) for each in found], indent=1)


def from_json(text: str) -> list[ArmTuning]:
    """What `as_json` wrote."""
    return [
        ArmTuning(
            **{
                **each,
                "trials": tuple(Trial(**{**t, "cost": Cost(**t["cost"])}) for t in each["trials"]),
                "finalists": tuple(
                    Finalist(f["number"], tuple(f["scores"]), Cost(**f["cost"])) for f in each["finalists"]
                ),
                "edges": tuple(each["edges"]),
            }
        )
        for each in json.loads(text)
    ]
