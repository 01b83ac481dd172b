"""The sections of a config on evaluation, its rounds and sets, and on a rule that ends a run by it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from federated.config.section import Frozen, on_or_off
from federated.extension_points.kinds import MetricChoices
from federated.foundation.scales import LARGEST_FLOAT


class Personalisation(Frozen):
    """Fine-tuning of the global model on each client's training examples, to measure whom it helps and how much.

    What is not stated here (batch size, momentum, weight decay, gradient norm) is as in `local`.
    """

    epochs: PositiveInt | None = Field(
        None, description="Passes over the client's training examples; null, without steps: 1"
    )
    steps: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Minibatch steps, instead of epochs; 0 leaves the model unchanged"
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=LARGEST_FLOAT,
        description="Step size of SGD; null: local.learning_rate, without local.schedule",
    )
    at: Literal["end", "evaluations"] = Field(
        "end", description="end: at the end of the run only; evaluations: at every evaluation"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Personalisation:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"state epochs or steps, not both (epochs {self.epochs}, steps {self.steps})")
        if self.steps == 0 and self.learning_rate is not None:
            raise ValueError(
                f"learning_rate {self.learning_rate:g} has no effect with steps 0, which leave the model as it is"
            )
        return self


class UnseenFit(Frozen):
    """Fitting, at each client that never takes part, of the part of the model that does not travel, to a few examples.

    Each step takes all of these examples; what is not stated is as in `local`.
    """

    examples: Annotated[int, Field(ge=2)] = Field(
        10, description="Examples of each unseen client to fit on, at most half of those that it holds"
    )
    steps: PositiveInt = Field(10, description="Steps on all of them")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=LARGEST_FLOAT,
        description="Step size; null: local.learning_rate, without local.schedule",
    )


MAIN = "main"
"""As the metric of a stop rule: the main measure."""


class Stop(Frozen):
    """A rule that ends a run before its last round. Checked at each evaluation; at least one of patience and target."""

    metric: str = Field(
        "train/loss",
        description="Metric to watch, by its name in MLflow; main: the main measure, on the tuning part or "
        "the validation examples where `holdout` sets some aside, else on the central test set",
    )
    patience: PositiveInt | None = Field(
        None, description="End after this many evaluations without improvement; null: never for that reason"
    )
    min_improvement: float = Field(0.0, ge=0, description="Smallest change of the metric that counts as one")
    target: float | None = Field(None, description="End as soon as the metric is this good; null: no target")

    @model_validator(mode="after")
    def _has_a_rule(self) -> Stop:
        if self.patience is None and self.target is None:
            raise ValueError("state patience, target or both")
        if self.patience is None and self.min_improvement:
            raise ValueError(
                f"min_improvement {self.min_improvement:g} has no effect without patience; state patience too, or "
                "leave it out"
            )
        return self


class Evaluation(Frozen):
    """The schedule on which the global model is evaluated on held-out data."""

    metric: MetricChoices = Field(
        None,
        description="What models are judged by: one measure, or a list. The first is the main one, by which arms are "
        "ranked and compared, with their targets, gaps and clients; null: accuracy, or R² for regression",
    )
    judged_on: Literal["test", "client"] = Field(
        "test",
        description="The held-out examples on which arms are ranked and compared by the main measure. test: the "
        "central test set, the same for all clients; client: each client's own (`holdout.client`), all of them "
        "together, for arms whose clients have models of their own",
    )
    every: PositiveInt = Field(
        5, description="Rounds between two evaluations; the initial and the final model are always evaluated"
    )
    batch_size: PositiveInt = Field(
        256, description="Examples evaluated at a time; affects speed and memory only"
    )
    training_examples: PositiveInt = Field(
        1000, description="Largest number of training examples that are evaluated beside the held-out ones"
    )
    drift: bool = Field(
        True,
        description="Measure in each round how long the clients' updates are and how much their directions agree",
    )
    personalisation: Annotated[Personalisation | None, BeforeValidator(on_or_off)] = Field(
        None,
        description="Fine-tune the model for each client and evaluate the result; true: one epoch, at"
        " the end; null: do not",
    )

    unseen_fit: Annotated[UnseenFit | None, BeforeValidator(on_or_off)] = Field(
        None,
        description="Where a part of the model does not travel, let clients that never take part fit that part to a "
        "few of their examples; every arm is then judged by the rest of them. true: as the defaults have it; null:"
        " those clients have no model where others keep a part of it",
    )

    best_by: str | None = Field(
        None,
        description="The metric, as `stop.metric` takes it, by which the best of the evaluated rounds is chosen: its "
        "model is the one that is kept, logged and judged, and the final figures of the run are that round's; main: "
        "the main measure on the tuning part; null: the last round",
    )

    def not_of_anchors(self) -> set[str] | Literal[True]:
        """The fields on which training without a server does not depend: all but the metric that chooses its round."""
        return True if self.best_by is None else set(type(self).model_fields) - {"best_by"}

    def at_default(self) -> set[str]:
        """The fields that came later and are at their default, by their names."""
        later = ("metric", "personalisation", "unseen_fit", "best_by")
        unstated = {name for name in later if getattr(self, name) is None}
        return unstated | ({"judged_on"} if self.judged_on == "test" else set())
