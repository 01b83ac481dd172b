"""The sections of a config on cohorts and on held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, WithJsonSchema, model_validator

from data_partitioners.ids import tidied
from federated.config.section import Frozen
from federated.extension_points.kinds import HoldoutChoice, SamplingChoice


def _number_or_names(value: Any) -> Any:
    """A number, or the names of clients; names that are whole numbers may be written as such."""
    if not isinstance(value, list | tuple):
        if isinstance(value, str) and not value.strip().isdecimal():
            raise ValueError(f"must be a number, or a list of names such as [{value}]; got {value!r}")
        if not isinstance(value, str | int | float) or int(value) != float(value) or int(value) < 0:
            raise ValueError(f"must be a whole number from 0 up, or a list of names; got {value!r}")
        return int(value)
    return names_of_clients(value)


def names_of_clients(value: Sequence[Any]) -> tuple[str, ...]:
    """The names of clients as texts; whole numbers may be written as such. Raises ValueError."""
    if bad := [each for each in value if not isinstance(each, str | int) or isinstance(each, bool)]:
        raise ValueError(f"names are texts or whole numbers, got {bad[0]!r}")
    names = [tidied(str(each)) for each in value]
    if not names or not all(names):
        raise ValueError(f"must name at least one client, or be 0; got {value!r}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is named {names.count(twice[0])} times")
    return tuple(names)


Unseen = Annotated[
    int | tuple[str, ...],
    BeforeValidator(_number_or_names),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
"""Of clients that never take part: how many, or which."""


class Holdout(Frozen):
    """The data held out from training. They are set aside before any other step reads the data."""

    by: HoldoutChoice = Field(
        "random",
        description="The rule by which examples are held out, in the central test set and at each client: at random, "
        "by time, by a column's values, or in whole groups",
    )
    test: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of all examples for the central test set; null: the data set's own test split, or 0.2",
    )
    client: float = Field(
        0.0, ge=0, lt=1, description="Share of each client's examples that it keeps for evaluation"
    )
    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of each client's training examples that is set aside for choosing (thresholds, `stop`) and "
        "never judges: the set `validation`",
    )
    unseen_clients: Unseen = Field(
        0,
        description="Whole clients that never take part in training: their number, drawn at random, or a list of "
        "their names",
    )
    tuning: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of each client's training examples that everything that chooses looks at, and nothing else: "
        "`tuning` of a study, `stop`, `evaluation.best_by`, thresholds. It never judges: the set `tuning`. With it the "
        "central test set is the same for all seeds, so that no seed's choice has seen what judges another",
    )
    tuning_clients: Unseen = Field(
        0,
        description="Whole clients that neither train nor judge, and are there to choose by what clients have that "
        "never take part: their number, drawn at random among those that are not unseen, or their names: the set "
        "`tuning_clients`",
    )
    duplicates: Literal["ignore", "together"] = Field(
        "ignore",
        description="Examples with the same inputs: dealt like all others, or all copies with the first of them, in "
        "the central test set and in clients' own shares; unless `by` is random, all copies of a held-out example are "
        "held out",
    )

    @model_validator(mode="after")
    def _nothing_stated_twice(self) -> Holdout:
        if self.by.own_code():
            return self
        shares = {"test": self.test, "client": self.client, "validation": self.validation}
        stated = self.by.build().states
        if twice := [name for name in stated if shares[name]]:
            raise ValueError(
                f"{twice[0]}: {shares[twice[0]]:g} has no effect, as by: {self.by.name} names the examples itself; "
                "leave one of them out"
            )
        if "validation" in stated and self.has_tuning:
            raise ValueError(
                f"tuning: by: {self.by.name} names validation examples to choose by, and tuning states others; leave "
                "one of them out"
            )
        return self

    @model_validator(mode="after")
    def _one_part_chooses(self) -> Holdout:
        if self.validation and self.has_tuning:
            raise ValueError(
                f"validation: {self.validation:g} is an earlier name of the share that chooses, and tuning states it "
                "too; leave validation out"
            )
        named = (
            each if isinstance(each, tuple) else () for each in (self.unseen_clients, self.tuning_clients)
        )
        if both := sorted(set.intersection(*map(set, named))):
            raise ValueError(
                f"tuning_clients: {both[0]!r} is one of unseen_clients, which judge; name it in one of them"
            )
        return self

    @property
    def has_tuning(self) -> bool:
        """Whether a part is set aside for all that chooses, and for nothing else."""
        return bool(self.tuning or self.tuning_clients)

    @property
    def num_set_aside(self) -> int:
        """The number of clients that never train, whether they judge or choose."""
        choosing = self.tuning_clients
        return self.num_unseen + (choosing if isinstance(choosing, int) else len(choosing))

    @property
    def num_unseen(self) -> int:
        """The number of clients that never take part, and judge."""
        return self.unseen_clients if isinstance(self.unseen_clients, int) else len(self.unseen_clients)

    def at_default(self) -> set[str]:
        """The fields that came later and are at their default; older run keys do not have them."""
        later = {"duplicates": "ignore", "validation": 0.0, "tuning": 0.0, "tuning_clients": 0}
        kept = {name for name, default in later.items() if getattr(self, name) == default}
        return kept | {"by"} if self.by.label() == "random" else kept


def _names(value: Any) -> Any:
    if value is None or not isinstance(value, list | tuple):
        return value
    return names_of_clients(value) if value else None


Withdrawn = Annotated[tuple[str, ...] | None, BeforeValidator(_names)]
"""The names of clients that have left."""


class Cohort(Frozen):
    """The clients that take part in a round, and their weights. Drawn anew in every round."""

    size: PositiveInt | None = Field(None, description="Clients per round; null: see fraction")
    fraction: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the clients that take part in a round; null, with no size: all",
    )
    sampling: SamplingChoice = Field(
        "uniform", description="How the clients of a round are drawn, and whether some are lost"
    )
    weighting: Literal["examples", "uniform"] = Field(
        "examples",
        description="Weight of a client's update in the mean: its number of training examples, or the same for all",
    )
    without: Withdrawn = Field(
        None,
        description="Names of clients that have withdrawn: they train nothing and are evaluated on their own held-out "
        "examples as if they were there, and whatever else is held out stays the same; null: none",
    )

    @model_validator(mode="after")
    def _one_size(self) -> Cohort:
        if self.size is not None and self.fraction is not None:
            raise ValueError(f"state size or fraction, not both (size {self.size}, fraction {self.fraction})")
        return self

    def at_default(self) -> set[str]:
        """The fields that came later and are at their default; older run keys do not have them."""
        later = {"sampling": self.sampling.label() == "uniform", "without": self.without is None}
        return {name for name, is_default in later.items() if is_default}

    def share_among(self, num_clients: int, num_eligible: int) -> float:
        """The share of the eligible clients that are wanted in a round: `fraction`, or their size over all."""
        if self.fraction is not None:
            return self.fraction
        return min(self.size_among(num_clients) / num_eligible, 1.0)

    def size_among(self, num_clients: int) -> int:
        """Clients a round in a federation of `num_clients`; a fraction is rounded, to at least one."""
        if self.size is not None:
            return min(self.size, num_clients)
        return max(1, round((self.fraction or 1.0) * num_clients))
