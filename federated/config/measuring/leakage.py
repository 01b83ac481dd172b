"""The section of a config on what leaks: attacks after training, which measure and do not change it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from federated.config.section import Frozen, on_or_off
from federated.foundation.scales import LARGEST_FLOAT


def _all_or_none(value: Any) -> Any:
    """`true` is both attacks with their defaults, `false` neither."""
    return on_or_off(value) if value is not True else {"membership": True, "inversion": True}


class MembershipInference(Frozen):
    """Who can tell from a model, or from one update, whether an example was trained on.

    Members are training examples of clients, non-members as many held-out examples of the same clients.
    """

    shadows: Annotated[int, Field(ge=0, multiple_of=2)] = Field(
        16,
        description="Shadow federations for LiRA, each a whole run in which every client trains on half of its "
        "examples; 0: the loss threshold alone, which needs none",
    )
    examples: PositiveInt = Field(
        2000, description="Largest number of members, and of non-members, over all clients together"
    )
    updates: bool = Field(
        True,
        description="Attack the update of each client as well, as the server reads it after the last round",
    )
    fixed_variance: bool | None = Field(
        None,
        description="LiRA with one variance for all examples instead of one for each; null: with fewer than 64 shadows",
    )

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> MembershipInference:
        if self.fixed_variance is not None and not self.shadows:
            raise ValueError("fixed_variance is of LiRA and has no effect with shadows 0")
        return self


class Inversion(Frozen):
    """Which images can be drawn again from the update of a client that holds few of them.

    The update is computed as the run's clients would, and attacked as the server reads it.
    """

    clients: PositiveInt = Field(4, description="Clients that are attacked, at most as many as a round has")
    examples: PositiveInt = Field(1, description="Images behind the update of each client")
    steps: PositiveInt = Field(1, description="Local steps behind it, each on all of these images")
    at: Literal["start", "end"] = Field(
        "start", description="start: the first round, from the initial model; end: the round after the last"
    )
    iterations: PositiveInt = Field(300, description="Steps of the optimisation attack")
    learning_rate: float = Field(
        0.1,
        gt=0,
        le=LARGEST_FLOAT,
        description="Step size of the attack, in standard deviations of the pixels",
    )
    total_variation: float = Field(
        0.01,
        ge=0,
        le=LARGEST_FLOAT,
        description="Weight of the total variation of the images beside the cosine distance of the updates",
    )


class Leakage(Frozen):
    """Attacks on the trained model and on updates, to measure what leaks in spite of everything."""

    membership: Annotated[MembershipInference | None, BeforeValidator(on_or_off)] = Field(
        None, description="Membership inference; true: as the defaults have it; null: none"
    )
    inversion: Annotated[Inversion | None, BeforeValidator(on_or_off)] = Field(
        None, description="Gradient inversion; true: as the defaults have it; null: none"
    )

    @model_validator(mode="after")
    def _something(self) -> Leakage:
        if self.membership is None and self.inversion is None:
            raise ValueError("state membership, inversion or both; or leave leakage out")
        return self


LeakageSection = Annotated[Leakage | None, BeforeValidator(_all_or_none)]
