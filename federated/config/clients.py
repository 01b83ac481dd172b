"""The sections of a config on cohorts and on held-out examples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from federated.config.section import Frozen
from federated.extension_points.kinds import SamplingChoice


class Holdout(Frozen):
    """The data held out from training. They are set aside before any other step reads the data."""

    test: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of all examples for the central test set; null: the data set's own test split, or 0.2",
    )
    client: float = Field(
        0.0, ge=0, lt=1, description="Share of each client's examples that it keeps for evaluation"
    )
    unseen_clients: int = Field(
        0, ge=0, description="Number of whole clients that never take part in training"
    )
    duplicates: Literal["ignore", "together"] = Field(
        "ignore",
        description="Examples with the same inputs: dealt like all others, or all copies with the first of them, in "
        "the central test set and in clients' own shares",
    )


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

    @model_validator(mode="after")
    def _one_size(self) -> Cohort:
        if self.size is not None and self.fraction is not None:
            raise ValueError(f"state size or fraction, not both (size {self.size}, fraction {self.fraction})")
        return self

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
