"""The sections of a config on local training and on its targets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from federated.config.section import Frozen
from federated.extension_points.kinds import OptimiserChoice, ScheduleChoice
from federated.foundation.scales import LARGEST_FLOAT


def _amount(value: Any) -> Any:
    """A number of epochs or steps, or a range of them."""
    bounds = value if isinstance(value, list | tuple) else [value]
    whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds)
    if len(bounds) not in (1, 2) or not whole or not 1 <= bounds[0] <= bounds[-1]:
        raise ValueError(f"must be a whole number >= 1, or a range [low, high] of them, got {value!r}")
    return bounds[0] if len(bounds) == 1 else tuple(bounds)


Amount = Annotated[int | tuple[int, int], BeforeValidator(_amount)]


class LocalTraining(Frozen):
    """Local training of a client in a round: minibatch steps of an optimiser on its own examples.

    An epoch goes through all of the client's examples in a new order. Its last batch is smaller where they do not
    divide evenly, and is never dropped (torch's `drop_last` is off).
    """

    epochs: Amount | None = Field(
        None,
        description="Passes over the client's examples in a round; [low, high]: drawn for each client and round; "
        "null, with no steps: 1",
    )
    steps: Amount | None = Field(
        None,
        description="Minibatch steps in a round, instead of epochs; a number or [low, high]; null: see epochs",
    )
    batch_size: PositiveInt | None = Field(
        32, description="Examples per step; null: all of the client's examples"
    )
    optimiser: OptimiserChoice = Field(
        "sgd",
        description="What makes a step of the gradient; its memory starts anew in every round and is never sent",
    )
    learning_rate: float = Field(
        0.1,
        gt=0,
        le=LARGEST_FLOAT,
        description="Step size of the optimiser; must be stated for every optimiser but sgd",
    )
    momentum: float = Field(
        0.0, ge=0, lt=1, description="Momentum of SGD; its memory starts at zero in every round"
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=LARGEST_FLOAT,
        description="L2 penalty added to the gradient; of adamw: parameters shrink by learning_rate x this",
    )
    max_gradient_norm: float | None = Field(
        None,
        gt=0,
        description="Largest L2 norm of a step's gradient; longer ones are scaled down to it; null: no limit",
    )
    schedule: ScheduleChoice = Field("constant", description="How the learning rate changes over the rounds")

    @model_validator(mode="after")
    def _one_length(self) -> LocalTraining:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"state epochs or steps, not both (epochs {self.epochs}, steps {self.steps})")
        return self

    @model_validator(mode="after")
    def _fits_the_optimiser(self) -> LocalTraining:
        if self.optimiser.name == "sgd":
            return self
        if self.momentum:
            raise ValueError(
                f"momentum {self.momentum:g} is of sgd; with optimiser {self.optimiser.name} leave it out (beta1 of "
                "adam is its like)"
            )
        if "learning_rate" not in self.model_fields_set:
            raise ValueError(
                f"state learning_rate with optimiser {self.optimiser.name}: the default of {self.learning_rate:g} is "
                "for sgd; adam and adamw usually want 0.001 or less"
            )
        return self

    @property
    def passes(self) -> int | tuple[int, int]:
        """Epochs of a client in a round, where no steps are stated."""
        return 1 if self.epochs is None else self.epochs


class Target(Frozen):
    """The targets as the model is trained on them. Measures and logged models are in the unit of the data, always."""

    standardise: bool = Field(
        False,
        description="Train on (target - mean) / standard deviation of a regression, both of the training examples of "
        "all clients, which would have to tell their sums; `train/loss` and options of a loss are then in these units",
    )
