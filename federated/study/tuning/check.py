"""The space of each arm, the configs of its trials, and refusals of what a study cannot tune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from federated.config.anchors import has_effect
from federated.config.evaluation import MAIN
from federated.config.run import RunConfig
from federated.foundation.texts import listed
from federated.metrics.dictionary.stated import choosing_metric
from federated.study.arm_labels import LabelledArm
from federated.study.names import arm_name
from federated.study.tuning.section import Tuning
from federated.study.tuning.space import Space

if TYPE_CHECKING:
    from federated.study.study import StudyConfig


def space_of(arm: LabelledArm, tuning: Tuning) -> Space:
    """The space of an arm; of an anchor without what has no effect on it."""
    whole = tuning.space_of(arm.name)
    server = arm.config.kind.has_server
    return {path: values for path, values in whole.items() if server or has_effect(path)}


def as_drawn(study: StudyConfig, arm: LabelledArm, tuning: Tuning) -> Space:
    """The space of an arm in the order in which it is drawn: first the fields that all arms choose from alike.

    So a trial draws the same for these in every arm, whatever else one arm chooses and another does not.
    """
    every, own = [space_of(each, tuning) for each in study.named_arms().values()], space_of(arm, tuning)
    alike = [path for path, values in own.items() if all(each.get(path) == values for each in every if each)]
    return {path: own[path] for path in (*alike, *(path for path in own if path not in alike))}


def check_tuning(study: StudyConfig) -> None:
    """Raise ValueError, naming the field, where the tuning of a study cannot be."""
    if (tuning := study.tuning) is None:
        return
    if study.leave_one_out or study.sites:
        field = "leave_one_out" if study.leave_one_out else "sites"
        raise ValueError(f"tuning: beside {field} each site's arm would be tuned too; leave one of them out")
    arms = study.named_arms()
    known = {arm_name(each) for each in arms}
    if unknown := [arm for arm in tuning.per_arm if arm_name(arm) not in known]:
        raise ValueError(f"tuning.per_arm: {unknown[0]!r} is not an arm; allowed: {listed(arms)}")
    if tuning.metric != MAIN:
        choosing_metric(tuning.metric, "tuning.metric")
    for arm in arms.values():
        _check_arm(study, arm, tuning)


def _check_arm(study: StudyConfig, arm: LabelledArm, tuning: Tuning) -> None:
    config, space = arm.config, space_of(arm, tuning)
    if not (config.holdout.has_tuning or config.holdout.validation):
        raise ValueError(
            f"tuning: arm {arm.name} has nothing to choose by but what judges; state holdout.tuning, such as 0.2"
        )
    if tuning.rounds is not None and tuning.rounds > config.rounds:
        raise ValueError(
            f"tuning.rounds: {tuning.rounds} is more than the {config.rounds} rounds of arm {arm.name}"
        )
    if tuning.budget.megabytes is not None and not config.kind.has_server:
        raise ValueError(
            f"tuning.budget.megabytes: arm {arm.name} sends nothing, so it would be tuned without end; state trials "
            "or rounds"
        )
    if not space and config.kind.has_server:
        raise ValueError(f"tuning: arm {arm.name} has nothing to choose; state it in per_arm")
    for path, values in space.items():
        if config.kind.has_server and (stated := [each for each in arm.overrides if _is_of(each, path)]):
            raise ValueError(
                f"tuning: {path} is what arm {arm.name} is compared by ({stated[0]}), and cannot be chosen too"
            )
        for value in values.ends:
            try:
                made = study.config_of({**arm.overrides, path: value})
            except ValueError as error:
                raise ValueError(f"tuning: {path}: {value!r} in arm {arm.name}: {error}") from error
            if made.dataset_as_read != config.dataset_as_read:
                raise ValueError(
                    f"tuning: {path}: with {value!r} arm {arm.name} reads the data otherwise (inputs: model), and what "
                    "judges could not be kept from its trials; make such models arms"
                )


def _is_of(stated: str, path: str) -> bool:
    """Whether an arm states a field or a part of it; what is below a choice that it states it may still choose."""
    return f"{stated}.".startswith(f"{path}.")


def trial_config(config: RunConfig, tuning: Tuning, seed: int) -> RunConfig:
    """The config of a trial, or of a finalist's further run: of the stated rounds and seed, and without what is not
    looked at.
    """
    few = {"training_examples": 2, "personalisation": None, "drift": False, "judged_on": "test"}
    changes = {
        "seed": seed,
        "rounds": tuning.rounds or config.rounds,
        "leakage": None,
        "evaluation": config.evaluation.model_copy(update=few),
    }
    return config.model_copy(update=changes)
