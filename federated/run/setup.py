"""Setup: what a run works with, built once from its config."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_partitioners import Partition
from federated.algorithms import Algorithm
from federated.choices.choice import Choice
from federated.compressors import Compressor
from federated.config.local import LocalTraining
from federated.config.run import RunConfig
from federated.config.user_choices import check_own_code
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training import LocalTrainer
from federated.local_training.engine import local_trainer
from federated.local_training.memory import machine_bytes, shard_size
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.metrics.names import metric_names
from federated.models.flat_model import FlatModel
from federated.models.objective import Loss, loss_of
from federated.privacy import Privacy
from federated.run.budget import centralised_training, terms_in_turn
from federated.run.memory import ALGORITHM, with_server
from federated.run.state import RunState
from federated.trials import Products, flat_model, tried_model, try_products
from federated.user_code.containment import is_own, own_code_named, title


@dataclass(frozen=True, eq=False)
class Setup:
    """The parts of a run. Holds no state of the training: `model` is scratch space.

    holders: who trains on which examples: the clients, or with centralised training one holder of all of theirs.
    eligible: the holders of at least one training example, which so can be in a cohort, int64.
    cohort_size: holders that train in a round; shard_size: of them, how many at a time. notes: what a person should
    know of their own model, in sentences.
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
    notes: tuple[str, ...] = ()


def prepare(config: RunConfig) -> Setup:
    """Load the data, hand it out, make the model. Raises BadInput where the config does not fit the data.

    A person's own code has been tried then; raises OwnCodeFailed where it fails.
    """
    with own_code_named(config):
        return _prepared(config)


def _prepared(config: RunConfig) -> Setup:
    device = _device(config.device)
    check_own_code(config)
    federation = _federation(config)
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
    model, loss = flat_model(config, inputs, examples.num_outputs, device), loss_of(examples.task)
    work = LocalWork(
        model, loss, inputs, targets, holders.indices, local, config.rounds, seed, config.engine.precision
    )
    tried = tried_model(config, work, examples.num_outputs)
    if not tried.takes_one:
        _check_no_batch_of_one(config, holders, local)
    _check_models_fit(config, len(eligible), model)
    products = _products(config, model)
    try_products(config, products, model.vector[: model.num_trainable])
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
        uplink=products.uplink,
        downlink=products.downlink,
        privacy=products.privacy,
        algorithm=_in_turn(products.algorithm, config, holders, cohort_size),
        notes=tried.notes,
    )


def initial_state(setup: Setup) -> RunState:
    """The state before the first round."""
    parameters = setup.initial_parameters
    return RunState(
        round=0,
        parameters=parameters,
        server=with_server({}, ALGORITHM, setup.algorithm.init(parameters[: setup.model.num_trainable])),
    )


def _federation(config: RunConfig) -> Federation:
    """Raises OwnCodeFailed where what does not fit is what a person's own data set or partitioner returned."""
    try:
        return partition_clients(config)
    except BadInput as error:
        if is_own(config.dataset) or is_own(config.partitioner):
            raise OwnCodeFailed(str(error)) from error
        raise


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


def _products(config: RunConfig, model: FlatModel) -> Products:
    """What the choices make. Raises BadInput."""
    return Products(
        config.algorithm.build(),
        _fitted("uplink", config.compression.uplink, model),
        _fitted("downlink", config.compression.downlink, model),
        config.privacy.build(),
    )


def _fitted(way: str, choice: Choice, model: FlatModel) -> Compressor:
    """The compressor for this model. Raises BadInput where the two cannot work together."""
    compressor: Compressor = choice.build()
    try:
        return compressor.fitted(model.layout)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"compression.{way}: {choice.label()}: {error}") from error


def _in_turn(algorithm: Algorithm, config: RunConfig, holders: Partition, cohort_size: int) -> Algorithm:
    """The algorithm as it is; local training has no server, and its clients' turns may be cut short."""
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
    """Raise OwnCodeFailed where a client would have to train on a single example and the model cannot."""
    for name, size in zip(holders.names, holders.sizes.tolist(), strict=True):
        if size and 1 in (size, size % (local.batch_size or size), local.batch_size):
            raise OwnCodeFailed(
                f"model: {title(config.model)} cannot train on a batch of one example (batch normalisation?), and "
                f"client {name} with {size} examples would have one; change local.batch_size "
                f"(now {local.batch_size}), the partitioner, or the normalisation"
            )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: 'cuda' was asked for, but this machine has no CUDA device; use auto or cpu")
    return torch.device(name)
