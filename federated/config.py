"""RunConfig: all that one federated run depends on, checked when it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from federated.choice import Choice
from federated.frozen import Frozen
from federated.kinds import (
    AlgorithmChoice,
    CompressorChoice,
    DatasetChoice,
    ModelChoice,
    NetworkChoice,
    PartitionerChoice,
    PrivacyChoice,
)
from federated.local_options import LocalTraining
from federated.paths import absolute
from federated.ways import check_votes, check_ways


class Holdout(Frozen):
    """What training never sees. It is set aside before anything looks at the data."""

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


class Cohort(Frozen):
    """Who takes part in a round, and what each counts. Sampled without replacement, anew in every round."""

    size: PositiveInt | None = Field(None, description="Clients a round; null: see fraction")
    fraction: float | None = Field(
        None, gt=0, le=1, description="Share of the clients a round; null, with no size: all"
    )
    weighting: Literal["examples", "uniform"] = Field(
        "examples", description="An update counts by its client's examples, or all alike"
    )

    @model_validator(mode="after")
    def _one_size(self) -> Cohort:
        if self.size is not None and self.fraction is not None:
            raise ValueError(f"state size or fraction, not both (size {self.size}, fraction {self.fraction})")
        return self

    def size_among(self, num_clients: int) -> int:
        """Clients a round in a federation of `num_clients`; a fraction is rounded, to at least one."""
        if self.size is not None:
            return min(self.size, num_clients)
        return max(1, round((self.fraction or 1.0) * num_clients))


class Compression(Frozen):
    """How updates and models become bytes."""

    uplink: CompressorChoice = Field("none", description="Compressor of the clients' updates")
    downlink: CompressorChoice = Field(
        "none",
        description="Compressor of the model that the server broadcasts; difference(...): of what clients lack",
    )
    quality: bool = Field(True, description="Measure in each round what the ways do to updates and model")
    dump: Annotated[Path, AfterValidator(absolute)] | None = Field(
        None, description="Folder for every payload of every round, as files; null: nowhere"
    )

    @model_validator(mode="after")
    def _each_way_can_be_gone(self) -> Compression:
        check_ways(self.uplink, self.downlink)
        return self

    def label(self) -> str:
        """Both ways as short calls; the downlink only where it is compressed."""
        up, down = self.uplink.label(), self.downlink.label()
        return up if down == "none" else f"{up}, down {down}"


class Stop(Frozen):
    """When to end before the last round. Checked at each evaluation; at least one of patience and target."""

    metric: str = Field("train/loss", description="The metric that is watched, by its name in MLflow")
    patience: PositiveInt | None = Field(
        None, description="Evaluations without improvement before the run has converged"
    )
    min_improvement: float = Field(0.0, ge=0, description="What counts as an improvement of the metric")
    target: float | None = Field(None, description="End as soon as the metric is at least this good")

    @model_validator(mode="after")
    def _has_a_rule(self) -> Stop:
        if self.patience is None and self.target is None:
            raise ValueError("state patience, target or both")
        return self


class Evaluation(Frozen):
    """When the global model is evaluated on held-out data."""

    every: PositiveInt = Field(
        5, description="Rounds between two evaluations; the initial and the last model always are"
    )
    batch_size: PositiveInt = Field(256, description="Examples at a time; changes speed and memory only")
    training_examples: PositiveInt = Field(
        1000, description="Training examples at most that are evaluated beside the held-out ones"
    )


class Engine(Frozen):
    """How local training is computed. The engines take the same steps and differ in rounding alone.

    With bfloat16 rounding is coarse: products of the forward and backward pass keep 8 significant bits. Parameters,
    the loss and the optimiser's step stay in 32 bits, and the kernels for stacks of dense layers are not used.
    """

    name: Literal["auto", "loop", "vectorised"] = Field(
        "auto", description="One client at a time, many at once, or whichever is faster for the model"
    )
    memory_mb: PositiveInt | None = Field(
        None,
        description="Memory for the clients trained at a time; null: 256, or an eighth of the machine's if less",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the model's products in local training; bfloat16: torch's autocast"
    )


class Orchestration(Frozen):
    """How the work is cut up. Changes nothing in the results."""

    granularity: Literal["segment", "stage"] = Field(
        "segment",
        description="One Prefect task run for the rounds between two evaluations, or one for each stage of a round",
    )
    threads: PositiveInt | None = Field(
        None,
        description="Clients, or stacks of them, trained side by side; null: a run's share of the machine's cores",
    )


class RunConfig(Frozen):
    """One federated training. Equal configs give equal results."""

    dataset: DatasetChoice = Field(description="What is learnt from")
    partitioner: PartitionerChoice = Field("iid", description="Who holds what")
    clients: PositiveInt | None = Field(
        None, description="Number of participating clients; null: as many as the data has (by_client)"
    )
    holdout: Holdout = Field(default_factory=Holdout, description="What training never sees")
    model: ModelChoice = Field(description="What is trained")
    algorithm: AlgorithmChoice = Field("fedavg", description="How the server uses the updates")
    local: LocalTraining = Field(default_factory=LocalTraining, description="What a client does in a round")
    cohort: Cohort = Field(default_factory=Cohort, description="Who takes part in a round")
    compression: Compression = Field(
        default_factory=Compression, description="How updates and models become bytes"
    )
    network: NetworkChoice = Field(
        None, description="What a simulated clock takes the clients' network to be; null: no such clock"
    )
    privacy: PrivacyChoice = Field("none", description="What bounds and hides a client's update")
    rounds: PositiveInt = Field(description="Rounds at most")
    stop: Stop | None = Field(None, description="When to end before the last round; null: never")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="When the model is evaluated")
    engine: Engine = Field(default_factory=Engine, description="How local training is computed")
    orchestration: Orchestration = Field(default_factory=Orchestration, description="How the work is cut up")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where tensors live; auto: cuda where there is one"
    )
    seed: int = Field(0, ge=0, description="Seed of everything random in the run")

    @model_validator(mode="after")
    def _cohort_fits(self) -> RunConfig:
        if self.clients is not None and self.cohort.size is not None and self.cohort.size > self.clients:
            raise ValueError(
                f"cohort.size: {self.cohort.size} is larger than the federation of {self.clients} clients"
            )
        return self

    @model_validator(mode="after")
    def _votes_are_counted(self) -> RunConfig:
        check_votes(self.algorithm, self.compression.uplink)
        return self

    def run_key(self) -> str:
        """A short hash of all that changes the training, stable over versions of Python.

        The network does not count: it times a training and leaves it as it is, so a checkpoint serves any.
        The path of a data set counts, what is in its files does not: `data_digest` is for that. The engine does
        not count, but for its precision: tests/test_engine.py holds every engine and shard size to the same
        batches and, to rounding, the same parameters, as torch itself is on another machine or with more threads.
        """
        return _short_hash(self.model_dump(mode="json", exclude={**_WITHOUT_EFFECT, "network": True}))

    def arm_key(self) -> str:
        """Equal for the runs of one arm: without the seed, but with the network, by whose times arms are compared."""
        exclude = {**_WITHOUT_EFFECT, "seed": True, **({"network": True} if self.network is None else {})}
        return _short_hash(self.model_dump(mode="json", exclude=exclude))

    def flat(self) -> dict[str, Any]:
        """Every field by its dotted path; a choice gives its name and, below it, its arguments."""
        return dict(_flattened("", self.model_dump(mode="json")))


# Fields that change how a result is computed, and not the result beyond rounding.
_WITHOUT_EFFECT: dict[str, Any] = {
    "engine": {"name", "memory_mb"},
    "orchestration": True,
    "evaluation": {"batch_size"},
    "compression": {"quality", "dump"},
}


def _short_hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _flattened(path: str, content: dict[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in content.items():
        here = path if key == "name" and path else f"{path}.{key}".lstrip(".")
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            flat.append((here, [each["name"] for each in value]))
            for each in value:
                flat += _flattened(f"{here}.{each['name']}", {k: v for k, v in each.items() if k != "name"})
        else:
            flat += _flattened(here, value) if isinstance(value, dict) else [(here, value)]
    return flat


__all__ = [
    "Choice",
    "Cohort",
    "Compression",
    "Engine",
    "Evaluation",
    "Holdout",
    "LocalTraining",
    "Orchestration",
    "RunConfig",
    "Stop",
]
