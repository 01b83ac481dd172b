"""The two questions, and every federated arm against its anchors in each of them.

"One model for everybody" is answered on the central test set, "better than what each client has alone" on the
clients' own held-out examples, on which a client that trains alone would use its model. The same arms may answer one
with yes and the other with no.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from federated.config.training import ANCHORS, Anchor
from federated.metrics.by_client import CLIENTS
from federated.metrics.names import higher_is_better, on_test
from federated.report.findings.by_seed import best_arm, interval_over_seeds
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.findings.verdicts import DELTA, EVERY_STUDYS_LOOKS, Paired, compare_pairs
from federated.report.questions.amounts import measure_label
from federated.report.questions.constants import constant_of
from federated.report.statistics.paired import Interval
from federated.study.looks import Looks

EVERYBODY, ALONE = "One model for everybody", "Better than what each {client} has alone"
_CENTRAL = "the central test set"
_NATURAL = "by_client"


@dataclass(frozen=True)
class Level:
    """The mean of a final metric over the finished seeds of an arm, and its interval."""

    arm: str
    mean: float | None
    interval: Interval | None


@dataclass(frozen=True)
class ArmAnswer:
    """One arm between its anchors. against: anchor -> arm minus anchor; only anchors that the study has.

    constant: the mean over seeds of what a constant answer gets; None where it was not logged. own_models: whether each
    client answers with its own model.
    """

    level: Level
    anchors: dict[Anchor, Level]
    against: dict[Anchor, Paired]
    constant: float | None
    own_models: bool


@dataclass(frozen=True)
class Answer:
    """One question. name: as in `mlflow/README.md`. metric: what answers it. scored_on: on what, in words.

    measure: its label, such as accuracy. arms: first-seen order; best: the best of them in this question, which may be
    another one in the other.
    client: what a client is called, `site` or `client`. robust: whether levels and differences are by ranks.
    """

    name: str
    metric: str
    measure: str
    scored_on: str
    arms: list[ArmAnswer]
    best: str
    client: str
    robust: bool = False

    def title(self, arm: ArmAnswer) -> str:
        """The question as a title of one arm's scores: where clients have their own models, none is for everybody."""
        own = arm.own_models and self.name == EVERYBODY
        return f"Each {self.client}'s own model on {_CENTRAL}" if own else self.name

    def scored(self, arm: ArmAnswer) -> str:
        """On what an arm is scored, in words."""
        own = arm.own_models and self.name == EVERYBODY
        return f"{_CENTRAL}, a part of it for each {self.client}'s own model" if own else self.scored_on

    @property
    def of_best(self) -> ArmAnswer | None:
        """The answer of the best arm; None where no arm has an anchor with a finished run."""
        return next((each for each in self.arms if each.level.arm == self.best), None)


def client_word(results: Sequence[RunResult]) -> str:
    """`site` where the clients are those of the data, `client` where a study made them up."""
    natural = bool(results) and all(run.parameters.get("partitioner") == _NATURAL for run in results)
    return "site" if natural else "client"


def answers(
    results: Sequence[RunResult],
    delta: float = DELTA,
    looks: Looks = EVERY_STUDYS_LOOKS,
    *,
    robust: bool = False,
) -> list[Answer]:
    """Both questions, as far as the runs can answer them; [] where no arm has an anchor.

    The comparisons of all arms with all of their anchors are one family in each question.
    """
    best = best_arm(results, robust=robust)
    if best is None:
        return []
    arm, _, main = best
    measure, word = measure_label(main), client_word(results)
    asked = [(EVERYBODY, on_test(main), _CENTRAL)]
    if (own := own_metric(results, main)) is not None:
        alike = (
            f"mean over {word}s{_defined(results, own)}" if own.endswith("_mean") else "all of them together"
        )
        asked.append((ALONE.format(client=word), own, f"the {word}s' own held-out examples, {alike}"))
    runs = [run for run in results if run.main_metric == main]
    made = []
    for name, metric, scored_on in asked:
        found = _arms(runs, metric, delta, looks, robust)
        leads = arm if metric == main else _best_of(found, metric)
        made.append(Answer(name, metric, measure, scored_on, found, leads, word, robust))
    return [answer for answer in made if answer.arms]


def _best_of(arms: Sequence[ArmAnswer], metric: str) -> str:
    """The arm with the best level, the first of equal ones; empty where none has a finite one."""
    sign = 1 if higher_is_better(metric) else -1
    levels = {each.level.arm: sign * each.level.mean for each in arms if each.level.mean is not None}
    finite = {arm: value for arm, value in levels.items() if math.isfinite(value)}
    return max(finite, key=lambda arm: finite[arm], default="")


def _defined(results: Sequence[RunResult], own: str) -> str:
    """For how many clients the measure is defined, where some lack what it needs, such as examples of both classes."""
    counted = own.removesuffix("mean") + CLIENTS
    counts = [count for run in results if run.finished and (count := run.final(counted)) is not None]
    ends = dict.fromkeys(f"{count:.0f}" for count in (min(counts), max(counts))) if counts else {}
    return f" (defined for {' to '.join(ends)} of them)" if ends else ""


def own_metric(results: Sequence[RunResult], main: str) -> str | None:
    """The main measure on clients' own held-out examples: their mean, each client alike, where that was logged.

    Else of all of these examples together, as for R2, which one client's few examples do not determine. None where
    clients keep no examples.
    """
    pooled = main.replace("/test_", "/client_")
    logged = {
        name for run in results if run.finished and run.main_metric == main for name in run.metric_names
    }
    return next((name for name in (f"{pooled}_mean", pooled) if name in logged), None)


def _arms(
    runs: Sequence[RunResult], metric: str, delta: float, looks: Looks, robust: bool
) -> list[ArmAnswer]:
    anchors = {arm: anchors_of(runs, arm) for arm in arms_of(candidates(runs))}
    levels = {arm: level(runs, arm, metric, robust=robust) for arm in arms_of(runs)}
    measured = {
        arm: {anchor: name for anchor, name in found.items() if levels[name].mean is not None}
        for arm, found in anchors.items()
        if levels[arm].mean is not None
    }
    pairs = [(arm, name) for arm, found in measured.items() for name in found.values()]
    several = len(arms_of(candidates(runs))) > 1
    compared = compare_pairs(runs, pairs, metric, delta, looks, robust=robust, at_one_time=several)
    by_pair = dict(zip(pairs, compared, strict=True))
    return [
        ArmAnswer(
            levels[arm],
            {anchor: levels[name] for anchor, name in found.items()},
            {anchor: by_pair[arm, name] for anchor, name in found.items()},
            constant_of(runs, arm, metric),
            any(run.own_models for run in runs if run.arm == arm),
        )
        for arm, found in measured.items()
        if found
    ]


def anchors_of(results: Sequence[RunResult], arm: str) -> dict[Anchor, str]:
    """Anchor -> the arm that is this anchor of an arm, of the same study where it has one."""
    own = next(run for run in results if run.arm == arm)
    found: dict[Anchor, str] = {}
    for anchor in ANCHORS:
        fitting = [
            run
            for run in results
            if own.anchor_key and run.anchor_key == own.anchor_key and run.anchor == anchor
        ]
        for run in sorted(fitting, key=lambda run: run.study != own.study)[:1]:
            found[anchor] = run.arm
    return found


def level(results: Sequence[RunResult], arm: str, metric: str, *, robust: bool = False) -> Level:
    """The level of an arm in a metric."""
    runs = [run for run in results if run.arm == arm]
    return Level(arm, *interval_over_seeds(runs, metric, robust=robust))
