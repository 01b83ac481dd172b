"""`tuning`: every arm of a study looks for its best values with the same effort, on data that never judge."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, WithJsonSchema, model_validator

from federated.config.fields.short_forms import long_path
from federated.config.section import Frozen
from federated.foundation.texts import quoted
from federated.study.names import arm_name
from federated.study.tuning.space import Space, values_of

_OF_THE_QUESTION = (
    "dataset",
    "partitioner",
    "clients",
    "holdout",
    "target",
    "training",
    "rounds",
    "stop",
    "evaluation",
    "leakage",
    "coalitions",
    "cohort.without",
    "engine",
    "orchestration",
    "device",
    "seed",
    "network",
)
"""Fields that say what is asked, how it is judged or how it is computed, and that no arm may choose."""


class Budget(Frozen):
    """The effort of each arm: exactly one of these. A trial that is stopped early counts as one, with its rounds."""

    trials: PositiveInt | None = Field(None, description="Trials of each arm")
    rounds: PositiveInt | None = Field(None, description="Rounds of each arm, over all its trials")
    megabytes: float | None = Field(
        None, gt=0, description="MB (10^6 bytes) up and down of each arm, over all its trials"
    )

    @model_validator(mode="after")
    def _one(self) -> Budget:
        if sum(each is not None for each in (self.trials, self.rounds, self.megabytes)) != 1:
            raise ValueError("state one of trials, rounds and megabytes; or a number of trials alone")
        return self


def _as_budget(value: Any) -> Any:
    return {"trials": value} if isinstance(value, int | str) and not isinstance(value, bool) else value


def _checked(value: Any) -> Any:
    """The space as it is stated, with its paths in full. Raises ValueError where one cannot be read or chosen."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping of dotted paths to values, got {quoted(value)}")
    stated = {long_path(str(path)): values for path, values in value.items()}
    for path, values in stated.items():
        if of := next((each for each in _OF_THE_QUESTION if f"{path}.".startswith(f"{each}.")), None):
            raise ValueError(
                f"{path}: {of} is part of the question or of its judgement, which no arm may choose"
            )
        try:
            values_of(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return stated


StatedSpace = Annotated[
    dict[str, Any],
    BeforeValidator(_checked),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
"""Dotted path of a field -> its values, as a study file states them."""


class Tuning(Frozen):
    """The search of each arm for its best values, on the tuning part alone, before the study runs with them."""

    budget: Annotated[Budget, BeforeValidator(_as_budget)] = Field(
        description="The effort of each arm, anchors included: a number of trials, or one of trials, rounds, megabytes"
    )
    space: StatedSpace = Field(
        default_factory=dict,
        description="Dotted path of a field -> loguniform(low, high), uniform(low, high), integers(low, high) or a "
        "list, for all arms; anchors go without what has no effect on them",
    )
    per_arm: dict[str, StatedSpace] = Field(
        default_factory=dict, description="Arm -> fields that it alone chooses, in the same form"
    )
    rule: Literal["random", "tpe", "asha"] = Field(
        "tpe",
        description="random: drawn at random, evenly over the space; tpe: after ten of these, where earlier trials "
        "were good (Bergstra et al. 2011); asha: random, and of the trials at each evaluation the best third goes on "
        "(Li et al. 2020)",
    )
    rounds: PositiveInt | None = Field(None, description="Rounds of a trial; null: those of the run")
    metric: str = Field(
        "main", description="The metric of the tuning part that chooses; main: the main measure"
    )
    finalists: PositiveInt = Field(
        3,
        description="The best trials of each arm, which are run again with further seeds: these alone choose",
    )
    repeats: PositiveInt = Field(3, description="Further seeds of each finalist")

    @model_validator(mode="after")
    def _something_to_tune(self) -> Tuning:
        if not self.space and not self.per_arm:
            raise ValueError("state a space, for all arms or in per_arm")
        return self

    def among(self, arms: Collection[str]) -> Tuning:
        """The same of these arms alone. arms: their names."""
        kept = {name: space for name, space in self.per_arm.items() if arm_name(name) in arms}
        return self.model_copy(update={"per_arm": kept})

    def space_of(self, arm: str) -> Space:
        """The space of an arm, by its name; fields of its own come last."""
        own = {arm_name(name): space for name, space in self.per_arm.items()}
        return {path: values_of(values) for path, values in {**self.space, **own.get(arm, {})}.items()}
