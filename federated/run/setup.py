"""Setup: everything a run works with, built once from its config."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_partitioners import Partition
from federated.aggregators import Aggregator
from federated.algorithms import Algorithm
from federated.algorithms.travelling import Travelling
from federated.compressors import Compressor
from federated.config.run import RunConfig
from federated.config.user_choices import check_own_code
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training import LocalTrainer
from federated.local_training.engine import local_trainer
from federated.local_training.memory import shard_size
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import threads_of
from federated.models.flat_model import FlatModel
from federated.models.objective import loss_of
from federated.privacy import Privacy
from federated.run.budget import centralised_training
from federated.run.memory import ALGORITHM, with_server
from federated.run.parts import in_turn_if_alone, products_of, travelling_of
from federated.run.refusals import (
    check_cohort,
    check_memory,
    check_no_batch_of_one,
    check_personalisation,
    check_stop,
)
from federated.run.state import RunState
from federated.trials import flat_model, tried_model, try_products
from federated.user_code.containment import is_own, own_code_named


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything a run works with, built once from its config. `work.model` is scratch space and is overwritten.

    holders: the training examples of each holder: of the clients, or in centralised training of one holder of them all.
    eligible: the holders with at least one training example, which can be sampled into a cohort, int64.
    cohort_size: number of holders that train in a round; shard_size: number that train at a time. notes: remarks for
    the user about their own model, in sentences.
    """

    config: RunConfig
    federation: Federation
    holders: Partition
    eligible: np.ndarray
    cohort_size: int
    shard_size: int
    initial_parameters: Tensor
    work: LocalWork
    travelling: Travelling
    train: LocalTrainer
    uplink: Compressor
    downlink: Compressor
    privacy: Privacy
    algorithm: Algorithm
    aggregator: Aggregator
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> FlatModel:
        """The model as scratch space: parameters are loaded into it wherever a module is needed."""
        return self.work.model

    @property
    def inputs(self) -> Tensor:
        """The inputs of all examples, [N, ...]."""
        return self.work.inputs

    @property
    def targets(self) -> Tensor:
        """The targets of all examples, [N] or [N, outputs]."""
        return self.work.targets

    @property
    def own_models(self) -> bool:
        """Whether each client is evaluated with its own model, or with parameters that it keeps."""
        return self.config.training == "local" or self.travelling.moving is not None


def prepare(config: RunConfig) -> Setup:
    """Load the data, partition it and build the model. Raises BadInput where the config does not fit the data.

    User code is tried as part of this; raises OwnCodeFailed where it fails.
    """
    with own_code_named(config):
        return _prepared(config)


def _prepared(config: RunConfig) -> Setup:
    device = _device(config.device)
    check_own_code(config)
    federation = _federation(config)
    check_cohort(config, federation)
    check_personalisation(config, federation)
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
        check_no_batch_of_one(config, holders, local)
    algorithm = config.algorithm.build()
    moves = travelling_of(config, algorithm, model, device)
    products = products_of(config, algorithm, moves)
    check_stop(config, federation, own_models=config.training == "local" or moves.moving is not None)
    taking_turns = len(eligible) if config.training == "local" else cohort_size * config.rounds
    check_memory(config, products, min(len(eligible), taking_turns), cohort_size, model, moves)
    try_products(config, products, model.vector[: model.num_trainable])
    return Setup(
        config=config,
        federation=federation,
        holders=holders,
        eligible=eligible,
        cohort_size=cohort_size,
        shard_size=shard_size(work, config.engine),
        initial_parameters=model.vector.clone(),
        work=work,
        travelling=moves,
        train=local_trainer(
            work, config.engine, eligible[:cohort_size].tolist(), threads_of(config.orchestration.threads)
        ),
        uplink=products.uplink,
        downlink=products.downlink,
        privacy=products.privacy,
        algorithm=in_turn_if_alone(products.algorithm, config, holders, cohort_size),
        aggregator=products.aggregator,
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
    """The federation. Raises OwnCodeFailed where the user's data set or partitioner returned unsuitable data."""
    try:
        return partition_clients(config)
    except BadInput as error:
        if is_own(config.dataset) or is_own(config.partitioner):
            raise OwnCodeFailed(str(error)) from error
        raise


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: 'cuda' was asked for, but this machine has no CUDA device; use auto or cpu")
    return torch.device(name)
