"""The work of a run's engine: the model and the examples, on features where a frozen trunk gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from federated.algorithms import Need
from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.local_training import LocalTrainer
from federated.local_training.engine import local_trainer
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.cached import on_features
from federated.local_training.trunk.passes import TrunkPass
from federated.machine.cores import threads_of
from federated.privacy import PerExample
from federated.run.preparing.trainers import Trainers
from federated.run.preparing.training.losses import Fitted
from federated.trials import Parts, flat_model


def device_of(name: str) -> torch.device:
    """The device of this name. Raises BadInput where the machine has none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device: 'cuda' was asked for, but this machine has no CUDA device; use auto or cpu")
    return torch.device(name)


@doing("making the model")
def work_of(
    config: RunConfig, federation: Federation, trainers: Trainers, device: torch.device, fitted: Fitted
) -> LocalWork:
    """The model and the examples on which the trainers train it."""
    examples = federation.examples
    inputs, targets = federation.tensors(device)
    model = flat_model(config, inputs, examples.output_shape, device)
    return LocalWork(
        model,
        fitted.loss,
        inputs,
        fitted.readout.standardised(targets),
        trainers.holders.indices,
        trainers.local,
        config.rounds,
        config.seed,
        config.engine.precision,
        None if fitted.weights is None else torch.from_numpy(fitted.weights).to(model.vector),
        micro_batch=config.engine.micro_batch,
    )


def per_example_of(config: RunConfig, parts: Parts) -> PerExample | None:
    """The differentially private steps that the run's mechanism states."""
    stated = parts.privacy.per_example
    return None if stated is None else stated._replace(secure=config.privacy.secure)


@doing("choosing the engine")
def engine_of(config: RunConfig, cohort: Sequence[int], work: LocalWork, parts: Parts) -> LocalTrainer:
    """The trainer of a run. cohort: clients such as a round has."""
    engine = config.engine
    if Need.LOOP in parts.algorithm.needs:
        engine = engine.model_copy(update={"name": "loop"})
    return local_trainer(work, engine, cohort, threads_of(config.orchestration.threads))


@doing("looking for a frozen part that need run only once")
def cached_work(
    config: RunConfig, work: LocalWork, parts: Parts, *, rehearsal: bool
) -> tuple[LocalWork, TrunkPass] | None:
    """The work on the features of a frozen trunk, where the model has one."""
    contrasts = Need.LOOP in parts.algorithm.needs and Need.OWN_STEPS not in parts.algorithm.needs
    code = [
        config.model.model_dump_json(),
        *config.model.own_code().values(),
        *config.weights_digests().values(),
    ]
    threads = threads_of(config.orchestration.threads)
    return on_features(work, config.engine, code, threads, contrasts=contrasts, rehearsal=rehearsal)
