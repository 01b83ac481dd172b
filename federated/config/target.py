"""The section of a config on the targets."""

from __future__ import annotations

from pydantic import Field

from federated.config.section import Frozen


class Target(Frozen):
    """The targets as the model is trained on them. Measures and logged models are in the unit of the data, always."""

    standardise: bool = Field(
        False,
        description="Train on (target - mean) / standard deviation of a regression, both of the training examples of "
        "all clients, which would have to tell their sums; `train/loss` and options of a loss are then in these units",
    )
