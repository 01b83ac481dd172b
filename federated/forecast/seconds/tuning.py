"""The forecast of a study whose arms are tuned: its runs, those of the arms as they are stated, and the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from federated.forecast.forecast import forecast_study
from federated.forecast.summary import ArmForecast, Forecast
from federated.metrics.durations import duration
from federated.study.study import StudyConfig
from federated.study.tuning.section import Tuning
from federated.study.tuning.tuned import foreseen_runs, tuned_of

_NO_FAULTS: Mapping[str, str] = {}


def forecast_tuned(
    study: StudyConfig,
    workers: int = 1,
    faults: Mapping[str, str] = _NO_FAULTS,
    before: float | None = None,
) -> Forecast:
    """The forecast of a study, see `forecast_study`; with `tuning`, of its trials too."""
    runs = [
        run for run in foreseen_runs(study) if not tuned_of(run.arm) or _as_stated(run.name) not in faults
    ]
    made = forecast_study(runs, workers, faults, study.comparison.default_delta, before, study.prices)
    if study.tuning is None or not made.arms:
        return made
    arms = [arm for arm in made.arms if not tuned_of(arm.arm)]
    trainings = [_trainings(arm, study.tuning) for arm in arms]
    seconds = sum(
        count * arm.seconds / arm.runs * _share(arm, study.tuning)
        for arm, count in zip(arms, trainings, strict=True)
    )
    said = (
        f"tuning: {len(arms)} arms, at most {sum(trainings):,} trainings on the tuning part (trials and finalists), "
        f"about {duration(seconds)}; then each arm runs with its choice and, to compare, as it is stated"
    )
    return replace(
        made,
        seconds=made.seconds + seconds,
        low_seconds=_later(made.low_seconds, seconds),
        high_seconds=_later(made.high_seconds, seconds),
        around_seconds=_later(made.around_seconds, seconds),
        tuning=said,
    )


def _later(known: float | None, seconds: float) -> float | None:
    return None if known is None else known + seconds


def _as_stated(run: str) -> str:
    """The name of the run that an untuned one is as stated of."""
    arm, between, seed = run.rpartition(" · seed ")
    return f"{tuned_of(arm)}{between}{seed}"


def _share(arm: ArmForecast, tuning: Tuning) -> float:
    return min(1.0, (tuning.rounds or arm.rounds) / arm.rounds)


def _trainings(arm: ArmForecast, tuning: Tuning) -> int:
    """Trials within the budget, where each goes to its end, and the finalists' further runs."""
    rounds, budget = min(tuning.rounds or arm.rounds, arm.rounds), tuning.budget
    if budget.trials is not None:
        trials = budget.trials
    elif budget.rounds is not None:
        trials = math.ceil(budget.rounds / rounds)
    else:
        sent = (arm.uplink.expected + arm.downlink.expected) / 1e6 / arm.runs * _share(arm, tuning)
        trials = math.ceil((budget.megabytes or 0.0) / max(sent, 1e-9))
    return trials + tuning.finalists * tuning.repeats
