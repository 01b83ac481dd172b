"""Setup: what a run works with, built once from its config."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_partitioners import Partition
from federated.algorithms import Algorithm
from federated.budget import centralised_training, terms_in_turn
from federated.choice import Choice
from federated.compressors import Compressor
from federated.config import RunConfig
from federated.errors import BadInput
from federated.evaluation import metric_names
from federated.federation import Federation, partition_clients
from federated.local_options import LocalTraining
from federated.local_training import LocalTrainer
from federated.local_training.cores import threads_of
from federated.local_training.engine import local_trainer
from federated.local_training.shards import machine_bytes, shard_size
from federated.local_training.work import LocalWork
from federated.models import initial_module, takes_single_examples
from federated.objective import Loss, loss_of, model_inputs
from federated.parameters import FlatModel
from federated.privacy import Privacy
from federated.state import RunState
from federated.study import Run


@dataclass(frozen=True, eq=False)
class Setup:
    """The parts of a run. Holds no state of the training: `model` is scratch space.

    holders: who trains on which examples: the clients, or with centralised training one holder of all of theirs.
    eligible: the holders of at least one training example, which so can be in a cohort, int64.
    cohort_size: holders that train in a round; shard_size: of them, how many at a time.
    """

    config: RunConfig
    federation: Federation
    holders: Partition
    eligible: np.ndarray
    cohort_size: int
    shard_size: int
    initial_parameters: Tensor
    model: FlatModel
    inputs: Tensor
    targets: Tensor
    loss: Loss
    train: LocalTrainer
    uplink: Compressor
    downlink: Compressor
    privacy: Privacy
    algorithm: Algorithm


def prepare(config: RunConfig) -> Setup:
    """Load the data, hand it out, make the model. Raises BadInput where the config does not fit the data."""
    device = _device(config.device)
    federation = partition_clients(config)
    _check(config, federation)
    _check_personalisation(config, federation)
    clients = Partition(federation.clients, federation.names)
    taking_part = np.flatnonzero(federation.sizes)
    cohort_size = min(config.cohort.size_among(len(federation.clients)), len(taking_part))
    holders, local, eligible = clients, config.local, taking_part
    if config.training == "centralised":
        holders = Partition((federation.training,), ("everybody",))
        local = centralised_training(config, federation.clients, cohort_size)
        cohort_size, eligible = 1, np.zeros(1, np.int64)
    inputs, targets = federation.tensors(device)
    examples, seed = federation.examples, config.seed
    module = initial_module(
        config.model.build(), config.model.label(), model_inputs(inputs[:2]).cpu(), examples.num_outputs, seed
    )
    if not takes_single_examples(module, model_inputs(inputs[:2]).cpu()):
        _check_no_batch_of_one(config, holders, local)
    try:
        model = FlatModel(module.to(device))
    except ValueError as error:
        raise BadInput(f"model: {config.model.label()}: {error}") from error
    loss = loss_of(examples.task)
    work = LocalWork(
        model,
        loss,
        inputs,
        targets,
        holders.indices,
        local,
        config.rounds,
        seed,
        config.engine.precision,
    )
    _check_models_fit(config, len(eligible), model)
    return Setup(
        config=config,
        federation=federation,
        holders=holders,
        eligible=eligible,
        cohort_size=cohort_size,
        shard_size=shard_size(work, config.engine),
        initial_parameters=model.vector.clone(),
        model=model,
        inputs=inputs,
        targets=targets,
        loss=loss,
        train=local_trainer(
            work, config.engine, eligible[:cohort_size].tolist(), threads_of(config.orchestration.threads)
        ),
        uplink=_fitted("uplink", config.compression.uplink, model),
        downlink=_fitted("downlink", config.compression.downlink, model),
        privacy=config.privacy.build(),
        algorithm=_algorithm(config, holders, cohort_size),
    )


def check_runs(runs: Iterable[Run]) -> None:
    """Prepare every run and throw the result away. Raises BadInput, naming the run, where one cannot work."""
    for run in runs:
        try:
            prepare(run.config)
        except BadInput as error:
            raise BadInput(f"{run.name}: {error}") from error


def initial_state(setup: Setup) -> RunState:
    """The state before the first round."""
    parameters = setup.initial_parameters
    return RunState(
        round=0,
        parameters=parameters,
        server=setup.algorithm.init(parameters[: setup.model.num_trainable]),
        clients={},
    )


def _check(config: RunConfig, federation: Federation) -> None:
    """What can only be said once the data is there."""
    size, available = config.cohort.size, len(federation.clients)
    if size is not None and size > available:
        raise BadInput(f"cohort.size: {size} is larger than the federation of {available} clients")
    sizes = {name: len(indices) for name, indices in federation.held_out_sets().items()}
    allowed = metric_names(federation.examples.task, sizes)
    if config.stop is not None and config.stop.metric not in allowed:
        raise BadInput(
            f"stop.metric: {config.stop.metric!r} is not measured here; allowed: {', '.join(allowed)}"
        )


def _check_personalisation(config: RunConfig, federation: Federation) -> None:
    if config.evaluation.personalisation is not None and not any(map(len, federation.own_held_out)):
        raise BadInput(
            "evaluation.personalisation is evaluated on each client's own held-out examples, and there are none; "
            f"state holdout.client (now {config.holdout.client}), such as 0.2"
        )


def _fitted(way: str, choice: Choice, model: FlatModel) -> Compressor:
    """The compressor for this model. Raises BadInput where the two cannot work together."""
    compressor: Compressor = choice.build()
    try:
        return compressor.fitted(model.layout)
    except ValueError as error:
        raise BadInput(f"compression.{way}: {choice.label()}: {error}") from error


def _algorithm(config: RunConfig, holders: Partition, cohort_size: int) -> Algorithm:
    """What the config says; local training has no server, and its clients' turns may be cut short."""
    algorithm: Algorithm = config.algorithm.build()
    if config.training != "local":
        return algorithm
    return algorithm._replace(
        terms=lambda state, turn: terms_in_turn(config, holders.indices, cohort_size, turn)
    )


def _check_models_fit(config: RunConfig, num_clients: int, model: FlatModel) -> None:
    """Raise BadInput where local training would keep more models than half of the machine's memory holds."""
    needed = num_clients * model.vector.numel() * model.vector.element_size()
    if config.training == "local" and needed > (machine := machine_bytes()) // 2:
        raise BadInput(
            f"training: local keeps a model for each of {num_clients:,} clients, {needed / 1e9:,.1f} GB in all, and "
            f"this machine has {machine / 1e9:,.1f} GB; use fewer clients or a smaller model, or anchors: [centralised]"
        )


def _check_no_batch_of_one(config: RunConfig, holders: Partition, local: LocalTraining) -> None:
    """Raise BadInput where a client would have to train on a single example and the model cannot."""
    for name, size in zip(holders.names, holders.sizes.tolist(), strict=True):
        if size and 1 in (size, size % (local.batch_size or size), local.batch_size):
            raise BadInput(
                f"model: {config.model.label()} cannot train on a batch of one example (batch normalisation?), and "
                f"client {name} with {size} examples would have one; change local.batch_size "
                f"(now {local.batch_size}), the partitioner, or the normalisation"
            )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: 'cuda' was asked for, but this machine has no CUDA device; use auto or cpu")
    return torch.device(name)
