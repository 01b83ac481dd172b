"""RunConfig: everything that one federated run depends on, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from federated.choices.choice import Choice
from federated.config.anchors import OF_A_SERVER, check_without_server
from federated.config.clients import Cohort, Holdout
from federated.config.engine import Engine, Orchestration
from federated.config.evaluation import Evaluation, Personalisation, Stop
from federated.config.fields.compression import Compression
from federated.config.fields.dotted_paths import flat
from federated.config.local import LocalTraining, Target
from federated.config.measuring.coalitions import CoalitionsSection
from federated.config.measuring.leakage import LeakageSection
from federated.config.privacy import Privacy, PrivacyOrMechanism
from federated.config.run_key import USUAL, short_hash
from federated.config.section import Frozen
from federated.config.tokens import as_read, check_tokens, digests_of
from federated.config.training import TRAINING_KINDS, TrainingKind, TrainingName
from federated.extension_points.compatibility import check_together
from federated.extension_points.kinds import (
    AggregatorChoice,
    AlgorithmChoice,
    DatasetChoice,
    LossChoice,
    ModelChoice,
    NetworkChoice,
    PartitionerChoice,
    ScheduleChoice,
    TrainedChoice,
    TransportChoice,
)


class RunConfig(Frozen):
    """One federated training. Equal configs give equal results."""

    dataset: DatasetChoice = Field(description="The data set")
    partitioner: PartitionerChoice = Field("iid", description="How examples are divided among clients")
    clients: PositiveInt | None = Field(
        None, description="Number of participating clients; null: as many as the data have (by_client)"
    )
    holdout: Holdout = Field(default_factory=Holdout, description="Data held out from training")
    model: ModelChoice = Field(description="The model that is trained")
    trained: TrainedChoice = Field(
        "full",
        description="The part of the model that is trained and travels; the rest is frozen, the same for all clients, "
        "and runs as in evaluation. full: all that the model itself leaves to be trained",
    )
    loss: LossChoice = Field(
        None,
        description="What local training minimises; null: what is usual for the task, cross_entropy of classes and "
        "mse of numbers",
    )
    target: Target = Field(default_factory=Target, description="The targets that it is trained on")
    algorithm: AlgorithmChoice = Field("fedavg", description="How the server uses the updates")
    server_schedule: ScheduleChoice = Field(
        "constant",
        description="How the server's learning rate changes over the rounds: a factor on how far the algorithm moves "
        "the model",
    )
    aggregator: AggregatorChoice = Field(
        "mean", description="How the cohort's updates become one, which the algorithm then uses"
    )
    local: LocalTraining = Field(default_factory=LocalTraining, description="Local training of each client")
    cohort: Cohort = Field(default_factory=Cohort, description="The clients of a round")
    compression: Compression = Field(
        default_factory=Compression, description="Compression of updates and models"
    )
    transport: TransportChoice = Field(
        "plain", description="How updates travel to the server, which may then read each or their sum alone"
    )
    network: NetworkChoice = Field(
        None, description="The clients' network, for simulated time; null: no simulated time"
    )
    privacy: PrivacyOrMechanism = Field(
        default_factory=Privacy,
        description="What limits how much one client's update can reveal; a choice: the mechanism alone",
    )
    training: TrainingName = Field(
        "federated",
        description="federated: through the server; centralised: one model on the examples of all clients; local: each "
        "client alone. `anchors` beside seeds adds the last two to a study",
    )
    rounds: PositiveInt = Field(description="Number of rounds; fewer where `stop` ends the run")
    stop: Stop | None = Field(None, description="A rule that ends the run early; null: none")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="When the model is evaluated")
    leakage: LeakageSection = Field(
        None,
        description="Attacks after training that measure what leaks; true: both with their defaults; null: none",
    )
    coalitions: CoalitionsSection = Field(
        None, description="Coalitions of sites to train after the run; null: none"
    )
    engine: Engine = Field(default_factory=Engine, description="How local training is computed")
    orchestration: Orchestration = Field(
        default_factory=Orchestration, description="Division into tasks, threads"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device for training and evaluation; auto: cuda if there is one, else cpu"
    )
    seed: int = Field(0, ge=0, description="Seed of everything random in the run; a study lists `seeds`")

    @model_validator(mode="after")
    def _cohort_fits(self) -> RunConfig:
        if self.clients is not None and self.cohort.size is not None and self.cohort.size > self.clients:
            raise ValueError(
                f"cohort.size: {self.cohort.size} is larger than the federation of {self.clients} clients"
            )
        return self

    @model_validator(mode="after")
    def _texts_are_of_the_model(self) -> RunConfig:
        check_tokens(self.dataset, self.model)
        return self

    @model_validator(mode="after")
    def _parts_go_together(self) -> RunConfig:
        check_together(self.parts())
        return self

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> RunConfig:
        check_without_server(self)
        return self

    @property
    def dataset_as_read(self) -> Choice:
        """The data set as the model reads it: texts with `inputs: model` cut by the model's own tokeniser."""
        return as_read(self.dataset, self.model)

    def weights_digests(self) -> dict[str, str]:
        """The content address of each pretrained model that the run starts from, by field. Raises BadInput."""
        return digests_of(self.dataset, self.model)

    @property
    def kind(self) -> TrainingKind:
        """The properties of the run's kind of training."""
        return TRAINING_KINDS[self.training]

    def run_key(self) -> str:
        """A short hash of all that changes the training, stable over versions of Python.

        The network does not count: it times a training and leaves it as it is, so a checkpoint serves any. Nor do
        attacks on what was trained.
        The path of a data set or pretrained model counts, what is in its files does not: `data_digest` and
        `weights_digests` are for that. The engine does not count, but for its precision: tests/test_engine.py holds
        every engine and shard size to the same batches and, to rounding, the same parameters, as torch itself is on
        another machine or with more threads.
        """
        return self._hash_without(network=True, leakage=True)

    def arm_key(self) -> str:
        """Equal for the runs of one arm: without the seed, but with the network and the attacks by which arms may be
        compared."""
        beside = ("network", "leakage")
        return self._hash_without(
            seed=True, **{field: True for field in beside if getattr(self, field) is None}
        )

    def anchor_key(self) -> str:
        """Equal for all runs that have the same anchors: what training without a server depends on, seed aside.

        That is data, partition, held-out shares, model, its trained part, local training, rounds, how one is chosen,
        and the size of the cohort, which sets the budget; not what is of a server, sampling, weighting, evaluation.
        """
        return self._hash_without(
            seed=True,
            training=True,
            evaluation=self.evaluation.not_of_anchors(),
            cohort={"weighting", "sampling"},
            **dict.fromkeys(OF_A_SERVER, True),
        )

    def _hash_without(self, **fields: Any) -> str:
        """A hash of all that has an effect, but for these fields.

        Fields that came later are left out where they are at their default, so that older keys stay.
        """
        exclude = {**_WITHOUT_EFFECT, **fields}
        if self.local.optimiser.label() == "sgd":
            exclude |= {"local": {"optimiser"}}
        unset = {"loss": None, "target": Target(), "coalitions": None, "training": "federated"}
        exclude |= {field: True for field, value in unset.items() if getattr(self, field) == value}
        exclude |= {field: True for field, choice in USUAL.items() if getattr(self, field).label() == choice}
        if isinstance(exclude["evaluation"], set):
            exclude |= {"evaluation": {*exclude["evaluation"], *self.evaluation.at_default()}}
        if at_default := self.holdout.at_default():
            exclude |= {"holdout": at_default}
        if at_default := self.cohort.at_default():
            exclude |= {"cohort": {*exclude.get("cohort", ()), *at_default}}
        content = self._stated(exclude)
        if "compression" in content:
            beside = self.compression.beside_in_keys(self.algorithm) if self.kind.has_server else {}
            content["compression"] |= beside
        return short_hash(content)

    def _stated(self, exclude: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every field as keys and MLflow have it: of epochs that are not stated the one that there is without steps."""
        stated = self.model_dump(mode="json", exclude=exclude)
        if self.local.epochs is None:
            stated["local"]["epochs"] = 1
        if "privacy" in stated:
            stated["privacy"] = self.privacy.content()
        return stated

    def parts(self) -> dict[str, Any]:
        """The parts of which not all go together, by field."""
        return {
            "algorithm": self.algorithm,
            "server_schedule": self.server_schedule.label(),
            "aggregator": self.aggregator,
            "compression.uplink": self.compression.uplink,
            "compression.downlink": self.compression.downlink,
            "compression.uplink_beside": self.compression.uplink_beside or self.compression.uplink,
            "compression.downlink_beside": self.compression.downlink_beside or self.compression.downlink,
            "privacy": self.privacy.mechanism,
            "privacy.canaries": self.privacy.canaries if self.kind.has_server else 0,
            "transport": self.transport,
            "cohort.sampling": self.cohort.sampling,
            "cohort.weighting": self.cohort.weighting,
            "local.optimiser": self.local.optimiser,
            "local.momentum": self.local.momentum,
            "local.max_gradient_norm": self.local.max_gradient_norm,
            "loss": self.loss,
            "engine.name": self.engine.name,
            "evaluation.personalisation": self.evaluation.personalisation,
        }

    def flat(self) -> dict[str, Any]:
        """Every field by its dotted path; a choice gives its name and, below it, its arguments."""
        return flat(self._stated())


# Fields that change how a result is computed, and not the result beyond rounding.
_WITHOUT_EFFECT: dict[str, Any] = {
    "engine": {*Engine.model_fields} - {"precision"},
    "orchestration": True,
    "evaluation": {"batch_size", "drift"},
    "compression": {"quality", "dump", "uplink_beside", "downlink_beside"},
}


__all__ = [
    "Choice",
    "Compression",
    "Engine",
    "Evaluation",
    "LocalTraining",
    "Orchestration",
    "Personalisation",
    "RunConfig",
    "Stop",
]
