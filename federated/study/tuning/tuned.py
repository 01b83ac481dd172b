"""The study that runs once its arms have chosen: each with its choice, and beside it as it was stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from federated.study.arm_labels import AXIS_SEPARATOR, Run
from federated.study.study import StudyConfig

UNTUNED = "untuned"
"""What the name of an arm ends with that runs as it was stated beside its tuned form."""

Choices = Mapping[str, Mapping[str, Any]]
"""Arm -> dotted path -> the chosen value."""


def untuned(arm: str) -> str:
    """The name of an arm as it was stated."""
    return f"{arm}{AXIS_SEPARATOR}{UNTUNED}"


def tuned_of(arm: str) -> str:
    """The arm of which this one is the untuned form; empty where it is none."""
    ending = f"{AXIS_SEPARATOR}{UNTUNED}"
    return arm.removesuffix(ending) if arm.endswith(ending) else ""


def tuned(study: StudyConfig, choices: Choices) -> StudyConfig:
    """The study in which each arm has its choice, under its own name, and runs as it was stated where that differs.

    Anchors are arms of it too. Two arms may have come to be the same run; both are kept, as both were asked about.
    """
    named = study.named_arms()
    arms = [{**arm.overrides, **choices.get(name, {}), "name": name} for name, arm in named.items()]
    before = [
        {**arm.overrides, "name": untuned(name)}
        for name, arm in named.items()
        if study.config_of({**arm.overrides, **choices.get(name, {})}) != arm.config
    ]
    made = study.model_copy(update={"axes": {}, "arms": [*arms, *before], "anchors": (), "tuning": None})
    stated = {
        name: Run(name, arm.config, 0, arm.labels, arm.config.anchor_key()) for name, arm in named.items()
    }
    beside = {
        untuned(name): replace(run, overrides={**run.overrides, "name": untuned(name)})
        for name, run in stated.items()
    }
    made.take_as_stated({**stated, **beside})
    return made


def foreseen_runs(study: StudyConfig) -> list[Run]:
    """The runs of a study as they are stated, and where arms are tuned, all of them once more."""
    runs = study.runs()
    if study.tuning is None:
        return runs
    return [*runs, *(Run(untuned(run.arm), run.config) for run in runs)]


def of_tuned(faults: Mapping[str, str], study: StudyConfig) -> dict[str, str]:
    """The runs that cannot begin, name -> reason, of a study whose arms have chosen; nor can their untuned forms."""
    found = dict(faults)
    for run in study.runs():
        stated = replace(run, arm=tuned_of(run.arm) or run.arm).name
        if stated in faults:
            found[run.name] = faults[stated]
    return found
