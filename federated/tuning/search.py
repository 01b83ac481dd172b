"""The trials of an arm: Optuna's samplers and pruner, and its storage, which holds ended trials alone.

A search that is interrupted anywhere goes on with the next trial and ends with the same: what a trial draws depends on
its number and on the trials that ended before it, never on a generator's state; one that did not end was never stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from federated.foundation.doing import doing
from federated.foundation.randomness import Purpose, generator
from federated.study.tuning.section import Budget
from federated.study.tuning.space import Space, Values
from federated.tuning.draws import drawn
from federated.tuning.found import Cost, Trial
from federated.tuning.trial import Pruned, Scored, never

if TYPE_CHECKING:
    from optuna import Study
    from optuna import Trial as Asked
    from optuna.trial import FrozenTrial

Rule = Literal["random", "tpe", "asha"]
Try = Callable[[Mapping[str, Any], Pruned], Scored]
"""(values by dotted path, whether to end early) -> the outcome."""

_DRAWS = 0  # key of Purpose.TUNING
_REDUCTION = 3
_BEFORE_TPE = 10
"""Trials after which TPE knows enough to look where earlier ones were good."""
_MOST_FOR_NOTHING = 20
"""Trials in a row that spend nothing of a budget of rounds or bytes, as all may be lost in their first round."""
_VALUES, _SCORE, _ENDED, _COST, _WHY = "values", "score", "ended", "cost", "why"
"""Attributes of a trial in the storage."""


class Search(NamedTuple):
    """The search of an arm. stated: the values that the study file has, the first trial where the space holds them.

    space: what is drawn, in this order; what all arms choose from alike comes first, so that it is drawn alike.
    """

    space: Space
    stated: Mapping[str, Any]
    rule: Rule
    budget: Budget
    higher_is_better: bool


@contextmanager
def stored(path: Path, arm: str) -> Iterator[Study]:
    """The trials of an arm in a storage, which holds those that ended and what is noted beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend(path)
    with _quiet() as optuna:
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        yield optuna.create_study(storage=storage, study_name=arm, load_if_exists=True)


def _mend(path: Path) -> None:
    """Take away what a process left that was killed, or had no room, while it wrote: part of a line, and its lock."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    content = path.read_bytes() if path.is_file() else b""
    if (whole := content.rfind(b"\n") + 1) < len(content):
        os.truncate(path, whole)


def noted(kept: Study, name: str, found: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is noted by a name beside the trials; where it is not yet, it is found first."""
    if name not in kept.user_attrs:
        kept.set_user_attr(name, found())
    return dict(kept.user_attrs[name])


def search(asked: Search, kept: Study, attempt: Try, told: Callable[[Trial], None]) -> tuple[Trial, ...]:
    """All trials of an arm within its budget; those that are stored are not run again. told: is shown each."""
    with _quiet() as optuna:
        study = _in_memory(optuna, asked, kept.trials)
        trials = [_trial(each) for each in study.trials]
        while _is_left(asked.budget, trials):
            trials.append(_next(optuna, asked, study, trials, attempt))
            kept.add_trial(study.trials[-1])
            told(trials[-1])
    return tuple(trials)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, which is imported when it is needed and says nothing of its own."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _in_memory(optuna: Any, asked: Search, ended: list[FrozenTrial]) -> Study:
    pruner = optuna.pruners.NopPruner()
    if asked.rule == "asha":
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_REDUCTION)
    direction = "maximize" if asked.higher_is_better else "minimize"
    study: Study = optuna.create_study(direction=direction, pruner=pruner)
    study.add_trials(ended)
    return study


def _is_left(budget: Budget, trials: list[Trial]) -> bool:
    """Whether a trial more may begin."""
    spent = sum((trial.cost for trial in trials), Cost())
    if budget.trials is not None:
        return len(trials) < budget.trials
    last = sum((trial.cost for trial in trials[-_MOST_FOR_NOTHING:]), Cost())
    many = len(trials) >= _MOST_FOR_NOTHING
    if budget.rounds is not None:
        return spent.rounds < budget.rounds and not (many and not last.rounds)
    return spent.megabytes < (budget.megabytes or 0.0) and not (many and not last.megabytes)


def _next(optuna: Any, asked: Search, study: Study, before: list[Trial], attempt: Try) -> Trial:
    """Run the next trial and leave it in the study. One with the values of an earlier one has its outcome and cost."""
    study.sampler = _sampler(optuna, len(before))
    if (first := _without_a_sampler(asked, len(before))) is not None:
        study.enqueue_trial({path: _coded(values, first[path]) for path, values in asked.space.items()})
    trial = study.ask()
    values = {path: _suggested(trial, path, each) for path, each in asked.space.items()}
    same = next((each for each in before if each.values == values), None)
    if same is None:
        of = "" if asked.budget.trials is None else f" of {asked.budget.trials}"
        with doing(f"trial {len(before) + 1}{of}"):
            found = attempt(values, _pruning(trial) if asked.rule == "asha" else never)
        outcome = Trial(len(before), values, found.score, found.ended, found.cost, found.why)
    else:
        outcome = replace(same, number=len(before))
    kept: dict[str, Any] = {
        _VALUES: values,
        _SCORE: outcome.score,
        _ENDED: outcome.ended,
        _COST: asdict(outcome.cost),
        _WHY: outcome.why,
    }
    for name, content in kept.items():
        trial.set_user_attr(name, content)
    states = optuna.trial.TrialState
    complete = outcome.ended == "complete"
    study.tell(
        trial, outcome.score if complete else None, state=states.COMPLETE if complete else states.PRUNED
    )
    return outcome


def _without_a_sampler(asked: Search, number: int) -> dict[str, Any] | None:
    """The values of a trial that looks at no earlier one; None where Optuna's sampler has the say."""
    stated = asked.stated
    if number == 0 and all(path in stated and each.holds(stated[path]) for path, each in asked.space.items()):
        return dict(stated)
    if asked.rule == "tpe" and number >= _BEFORE_TPE:
        return None
    return {path: drawn(path, values, number) for path, values in asked.space.items()}


def _sampler(optuna: Any, number: int) -> Any:
    """TPE for a trial, by its number: the same for all arms."""
    seed = int(generator(0, Purpose.TUNING, _DRAWS, number).integers(2**31))
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_BEFORE_TPE)


def _suggested(trial: Asked, path: str, values: Values) -> Any:
    if values.listed:
        return values.listed[trial.suggest_categorical(path, range(len(values.listed)))]
    if values.is_whole:
        return trial.suggest_int(path, int(values.low), int(values.high))
    return trial.suggest_float(path, values.low, values.high, log=values.is_log)


def _coded(values: Values, value: Any) -> Any:
    """The value as Optuna has it: of a list its place."""
    return values.listed.index(value) if values.listed else value


def _pruning(trial: Asked) -> Pruned:
    def pruned(evaluation: int, score: float) -> bool:
        trial.report(score, evaluation)
        return bool(trial.should_prune())

    return pruned


def _trial(ended: FrozenTrial) -> Trial:
    """A trial as it was stored."""
    kept = ended.user_attrs
    cost = Cost(**kept[_COST])
    return Trial(ended.number, kept[_VALUES], kept[_SCORE], kept[_ENDED], cost, kept.get(_WHY, ""))
