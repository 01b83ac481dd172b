"""The tuning of a study, arm by arm: trials, then the finalists with further seeds, and the choice."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.choices.choice import Choice
from federated.config.fields.dotted_paths import value_at
from federated.config.run import RunConfig
from federated.config.user_choices import own_code
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.machine.folders import home
from federated.metrics.names import higher_is_better
from federated.run.checks import check_study
from federated.run.setup import Setup, prepare
from federated.study.arm_labels import LabelledArm
from federated.study.study import Run, StudyConfig
from federated.study.tuning.check import as_drawn, trial_config
from federated.study.tuning.section import Tuning
from federated.tuning.found import ArmTuning, Cost, Finalist, Trial, in_order
from federated.tuning.judged import Blind, check_left, judged_by, partitions_of, without_judged
from federated.tuning.search import Search, noted, search, stored
from federated.tuning.trial import Pruned, Scored, metric_of, scored
from federated.tuning.words import in_words

if TYPE_CHECKING:
    import optuna

Told = Callable[[str], None]
"""Is shown a line on what was tried."""

_FIRST_SEED = 1_000_000
"""Seeds of trials begin here; those of verdicts are small, and are left out wherever they are."""


def trial_seeds(study: StudyConfig) -> list[int]:
    """The seed of all trials, then the further seeds of finalists, the same for all arms and none of the study's."""
    assert study.tuning is not None
    free = (seed for seed in range(_FIRST_SEED, 2 * _FIRST_SEED) if seed not in study.seeds)
    return [next(free) for _ in range(1 + study.tuning.repeats)]


def check_tuned(study: StudyConfig, look: Callable[[Run, Setup], None] | None = None) -> dict[str, str]:
    """`check_study`, and where arms are tuned a trial of each arm, prepared and discarded, with the data of each of its
    seeds. Raises BadInput.
    """
    faults = check_study(study, look)
    if study.tuning is None:
        return faults
    judged = judging_examples(study)
    sound = {run.arm for run in study.runs() if run.name not in faults}
    for name, arm in study.named_arms().items():
        if name in sound:
            try:
                _Tried(study, arm, study.tuning, judged)
                for seed in trial_seeds(study):
                    check_left(trial_config(arm.config, study.tuning, seed), judged)
            except BadInput as error:
                raise BadInput(f"arm {name}: {error}") from error
    return faults


def judging_examples(study: StudyConfig) -> dict[str, np.ndarray]:
    """What judges in any run of the study, by data digest: no trial sees it."""
    return judged_by(run.config for run in study.runs())


def storage_of(study: StudyConfig, judged: Mapping[str, np.ndarray]) -> Path:
    """The file of the study's trials. Another one where anything differs on which they depend."""
    assert study.tuning is not None
    arms = study.named_arms()
    content = {
        "tuning": study.tuning.model_dump(mode="json"),
        "arms": {name: arm.config.arm_key() for name, arm in arms.items()},
        "code": [own_code(arm.config) for arm in arms.values()],
        "weights": [arm.config.weights_digests() for arm in arms.values()],
        "seeds": trial_seeds(study),
        "held": partitions_of(run.config for run in study.runs()),
        "judged": {data: _digest(each.tobytes()) for data, each in judged.items()},
    }
    return home() / "tuning" / f"{_digest(json.dumps(content, sort_keys=True).encode())}.log"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def tune_arm(study: StudyConfig, name: str, judged: Mapping[str, np.ndarray], told: Told) -> ArmTuning:
    """Look for the best values of one arm, going on where this was interrupted."""
    tuning, arm = study.tuning, study.named_arms()[name]
    assert tuning is not None
    tried = _Tried(study, arm, tuning, judged)
    space, seeds = as_drawn(study, arm, tuning), trial_seeds(study)
    is_higher = higher_is_better(tried.metric)
    stated = {path: _plain(value_at(arm.config, path)) for path in space}
    as_stated = {path: values.stated for path, values in space.items()}
    if not space:
        return ArmTuning(name, tried.metric, is_higher, {}, {}, (), (), {})
    with doing(f"tuning {name}"), stored(storage_of(study, judged), name) as kept:
        asked = Search(space, stated, tuning.rule, tuning.budget, is_higher)

        def tell(trial: Trial) -> None:
            told(
                f"{name}: trial {trial.number + 1}, {in_words(trial.values)}: "
                f"{_said(trial.score, trial.ended, trial.why)}"
            )

        trials = search(asked, kept, lambda values, pruned: tried(values, seeds[0], pruned), tell)
        chosen = _best(trials, tuning.finalists, higher_is_better=is_higher)
        finalists = tuple(_rejudged(each, kept, tried, seeds[1:], told, name) for each in chosen)
    best = in_order(finalists, higher_is_better=is_higher) if len(finalists) > 1 else finalists
    choice = trials[best[0].number].values if best and not math.isnan(best[0].mean) else {}
    edges = tuple(path for path, value in choice.items() if space[path].is_edge(value))
    return ArmTuning(name, tried.metric, is_higher, as_stated, stated, trials, finalists, choice, edges)


class _Tried:
    """The trials of an arm as functions of their values, on federations that are made once for each seed."""

    def __init__(
        self, study: StudyConfig, arm: LabelledArm, tuning: Tuning, judged: Mapping[str, np.ndarray]
    ) -> None:
        self._study, self._arm, self._tuning, self._judged = study, arm, tuning, judged
        self._federations: dict[int, Blind] = {}
        seed = trial_seeds(study)[0]
        setup = prepare(self._config({}, seed), rehearsal=True, federation=self._federation({}, seed))
        self.metric = metric_of(tuning.metric, setup)

    def __call__(self, values: Mapping[str, Any], seed: int, pruned: Pruned | None = None) -> Scored:
        more = {} if pruned is None else {"pruned": pruned}
        return scored(self._config(values, seed), self.metric, self._federation(values, seed), **more)

    def _config(self, values: Mapping[str, Any], seed: int) -> RunConfig:
        config = self._study.config_of({**self._arm.overrides, **values}) if values else self._arm.config
        return trial_config(config, self._tuning, seed)

    def _federation(self, values: Mapping[str, Any], seed: int) -> Blind:
        if seed not in self._federations:
            self._federations[seed] = without_judged(self._config(values, seed), self._judged)
        return self._federations[seed]


def _best(trials: Sequence[Trial], count: int, *, higher_is_better: bool) -> list[Trial]:
    """The best trials that completed, each with other values; of equal scores the earlier one."""
    sign = -1 if higher_is_better else 1
    complete = [each for each in trials if each.ended == "complete" and each.score is not None]
    ordered = sorted(complete, key=lambda each: (sign * (each.score or 0.0), each.number))
    found: list[Trial] = []
    for trial in ordered:
        if len(found) < count and all(trial.values != other.values for other in found):
            found.append(trial)
    return found


def _rejudged(
    trial: Trial, kept: optuna.Study, tried: _Tried, seeds: Sequence[int], told: Told, arm: str
) -> Finalist:
    """A trial's values with further seeds."""

    def found() -> dict[str, Any]:
        with doing(f"trial {trial.number + 1} again, with {len(seeds)} further seeds"):
            each = [tried(trial.values, seed) for seed in seeds]
        cost = sum((one.cost for one in each), Cost())
        told(
            f"{arm}: finalist {in_words(trial.values)}: "
            f"{', '.join(_said(one.score, one.ended, one.why) for one in each)}"
        )
        return {"scores": [one.score for one in each], "cost": asdict(cost)}

    content = noted(kept, f"finalist {trial.number}", found)
    return Finalist(trial.number, tuple(content["scores"]), Cost(**content["cost"]))


def _plain(value: Any) -> Any:
    return value.label() if isinstance(value, Choice) else value


def _said(score: float | None, ended: str, why: str) -> str:
    if score is None:
        return f"{ended}, {why}" if why else ended
    return f"{score:.4g}{'' if ended == 'complete' else f' ({ended})'}"
