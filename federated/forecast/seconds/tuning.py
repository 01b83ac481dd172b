"""The forecast of a study whose arms are tuned: its runs, those of the arms as they are stated, and the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from federated.config.run import RunConfig
from federated.forecast.forecast import SECONDS_IN_ALL, forecast_study
from federated.forecast.overheads import overheads
from federated.forecast.summary import ArmForecast, Forecast, TuningForecast
from federated.metrics.durations import duration
from federated.run.setup import prepare
from federated.study.study import StudyConfig
from federated.study.tuning.check import space_of, trial_config
from federated.study.tuning.section import Tuning
from federated.study.tuning.space import Space
from federated.study.tuning.tuned import foreseen_runs, tuned_of

_EPSILON = "privacy/epsilon"
_NOT_OF_TUNING = ("bill/data_bytes", _EPSILON)
_NO_FAULTS: Mapping[str, str] = {}


def forecast_tuned(
    study: StudyConfig,
    workers: int = 1,
    faults: Mapping[str, str] = _NO_FAULTS,
    before: float | None = None,
    seconds: float = SECONDS_IN_ALL,
) -> Forecast:
    """The forecast of a study, see `forecast_study`; with `tuning`, of its trials too."""
    runs = [
        run for run in foreseen_runs(study) if not tuned_of(run.arm) or _as_stated(run.name) not in faults
    ]
    delta = study.comparison.default_delta
    made = forecast_study(runs, workers, faults, delta, before, study.prices, seconds)
    if study.tuning is None or not made.arms:
        return made
    tunings = _tunings(study, study.tuning, made)
    takes = sum(each.seconds for each in tunings)
    epsilon = sum(each.epsilon for each in tunings)
    promised = f", with epsilon {epsilon:.3g} in all by basic composition" if epsilon else ""
    arms = f"{len(tunings)} arm{'' if len(tunings) == 1 else 's'}"
    trainings = sum(each.trainings for each in tunings)
    said = (
        f"tuning: {arms}, at most {trainings:,} trainings on the tuning part (trials and finalists), about "
        f"{duration(takes)}{promised}; then each arm runs with its choice and, to compare, as it is stated"
    )
    return replace(
        made,
        seconds=made.seconds + takes,
        low_seconds=_later(made.low_seconds, takes),
        high_seconds=_later(made.high_seconds, takes),
        around_seconds=_later(made.around_seconds, takes),
        tuning=said,
        tunings=tunings,
    )


def _later(known: float | None, seconds: float) -> float | None:
    return None if known is None else known + seconds


def _as_stated(run: str) -> str:
    """The name of the run that an untuned one is as stated of."""
    arm, between, seed = run.rpartition(" · seed ")
    return f"{tuned_of(arm)}{between}{seed}"


def _tunings(study: StudyConfig, tuning: Tuning, made: Forecast) -> tuple[TuningForecast, ...]:
    """Of each arm that has something to choose, in their order."""
    named = study.named_arms()
    each = [(arm, named[arm.arm]) for arm in made.arms if not tuned_of(arm.arm)]
    return tuple(
        _of_arm(arm, stated.config, space, tuning)
        for arm, stated in each
        if (space := space_of(stated, tuning))
    )


def _of_arm(arm: ArmForecast, config: RunConfig, space: Space, tuning: Tuning) -> TuningForecast:
    share = _share(arm, tuning)
    trainings = _trainings(arm, space, tuning)
    times = trainings * share
    used = {name: times * value for name, value in arm.used.items() if name not in _NOT_OF_TUNING}
    used |= {
        "communication/uplink_bytes_total": times * arm.uplink.expected / arm.runs,
        "communication/downlink_bytes_total": times * arm.downlink.expected / arm.runs,
    }
    epsilon = trainings * _epsilon(config, tuning) if _EPSILON in arm.used else 0.0
    alone = max(
        arm.seconds / arm.runs - overheads().run, 0.0
    )  # a trial has no run in MLflow, no model and no pictures
    return TuningForecast(arm.arm, trainings, times * alone, used, epsilon)


def _epsilon(config: RunConfig, tuning: Tuning) -> float:
    """Of one training of a trial's rounds."""
    setup = prepare(trial_config(config, tuning, config.seed), rehearsal=True)
    return 0.0 if setup.promise is None else setup.promise.spent(setup.last_round).epsilon


def _share(arm: ArmForecast, tuning: Tuning) -> float:
    return min(1.0, (tuning.rounds or arm.rounds) / arm.rounds)


def _trainings(arm: ArmForecast, space: Space, tuning: Tuning) -> int:
    """Trials within the budget, where each goes to its end, and the finalists' further runs; of lists no more trials
    than they have values, as none is trained twice."""
    rounds, budget = min(tuning.rounds or arm.rounds, arm.rounds), tuning.budget
    if budget.trials is not None:
        trials = budget.trials
    elif budget.rounds is not None:
        trials = math.ceil(budget.rounds / rounds)
    else:
        sent = (arm.uplink.expected + arm.downlink.expected) / 1e6 / arm.runs * _share(arm, tuning)
        trials = math.ceil((budget.megabytes or 0.0) / max(sent, 1e-9))
    if all(values.listed for values in space.values()):
        trials = min(trials, math.prod(len(values.listed) for values in space.values()))
    return trials + min(tuning.finalists, trials) * tuning.repeats
