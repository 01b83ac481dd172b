"""Setup: everything a run works with, built once from its config."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from federated.config.evaluation import UnseenFit
from federated.config.run import RunConfig, Stop
from federated.config.user_choices import check_own_code
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training.memory import shard_size
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.passes import TrunkPass
from federated.losses import Readout
from federated.machine.folders import home
from federated.machine.tensors.spilling import Spilling
from federated.metrics.scoring import Scoring
from federated.models.flat_model import FlatModel
from federated.run.memory import ALGORITHM, PRIVACY, with_server
from federated.run.preparing.attacks.halves import half_of
from federated.run.preparing.attacks.shadow_config import check_shadows, shadow_config
from federated.run.preparing.client_memory import BOUND, bound_bytes
from federated.run.preparing.judging.chosen_by import named, without_a_model
from federated.run.preparing.judging.scoring import run_scoring
from federated.run.preparing.own_weights import own_weights
from federated.run.preparing.parts import parts_of
from federated.run.preparing.promise import Promise
from federated.run.preparing.refusals import check_run
from federated.run.preparing.trainers import Trainers, population_among, who_trains
from federated.run.preparing.training.losses import fitted_loss
from federated.run.preparing.training.memory import check_fits
from federated.run.preparing.training.work import cached_work, device_of, engine_of, per_example_of, work_of
from federated.run.state import RunState
from federated.run.worker import Worker
from federated.trials import Parts, tried_loss, tried_model, try_measures, try_parts
from federated.user_code.containment import is_own, own_code_named


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything a run works with, built once from its config and never changed.

    readout: what turns the model's outputs into predictions, in whose unit measures are.
    shard_size: the number of holders that train at a time. scoring: what the model is measured by.
    store: the place of what clients remember, the one thing here that grows during a run.
    notes: remarks for the user about their model and the algorithm. promise: what clients are guaranteed, if anything.
    of_inputs: the work of the whole model on the inputs, where that of the worker is of its head on features.
    trunk: the pass that gives these features; None where there is none.
    """

    federation: Federation
    trainers: Trainers
    worker: Worker
    shard_size: int
    scoring: Scoring
    readout: Readout
    store: Spilling
    notes: tuple[str, ...] = ()
    promise: Promise | None = None
    of_inputs: LocalWork | None = None
    trunk: TrunkPass | None = None

    @property
    def config(self) -> RunConfig:
        """The config of the run."""
        return self.worker.config

    @cached_property
    def weights_digests(self) -> dict[str, str]:
        """The content address of all weights that the run starts from and its key does not say, by field."""
        inputs = (self.of_inputs or self.worker.work).inputs
        own = own_weights(self.config, self.whole_model, inputs, self.federation.examples.output_shape)
        return {**self.config.weights_digests(), **own}

    @property
    def parts(self) -> Parts:
        """The parts of a round besides local training."""
        return self.worker.parts

    @property
    def model(self) -> FlatModel:
        """The model before the first round, as it is trained and evaluated: on features, its head alone."""
        return self.worker.model

    @property
    def whole_model(self) -> FlatModel:
        """The model before the first round with all that is frozen; its vector is that of `model`."""
        return self.model if self.of_inputs is None else self.of_inputs.model

    @property
    def initial_parameters(self) -> Tensor:
        """The parameters [P] before the first round."""
        return self.worker.model.vector

    @property
    def inputs(self) -> Tensor:
        """The inputs of all examples for `model`, [N, ...]."""
        return self.worker.work.inputs

    @property
    def whole(self) -> Setup:
        """The same setup with the whole model on the inputs themselves, for those who look at these."""
        if self.of_inputs is None:
            return self
        work = self.of_inputs
        cohort = self.trainers.eligible[: self.trainers.cohort_size].tolist()
        train = engine_of(self.config, cohort, work, self.parts)
        return replace(self, worker=replace(self.worker, work=work, train=train), of_inputs=None)

    @property
    def targets(self) -> Tensor:
        """The targets of all examples in their unit, [N] or [N, outputs]; the model may be trained on others."""
        work = self.worker.work
        return work.targets if self.readout.scale is None else self.federation.tensors(work.targets.device)[1]

    @property
    def stop(self) -> Stop | None:
        """The stop rule with its metric by name, where it watches the main measure."""
        return (stop := self.config.stop) and stop.model_copy(update={"metric": self._named(stop.metric)})

    @property
    def best_by(self) -> str | None:
        """The metric by which the round is chosen whose model is kept; None: it is the last."""
        return self.config.evaluation.best_by and self._named(self.config.evaluation.best_by)

    def _named(self, metric: str) -> str:
        without = without_a_model(self.config, self.trainers, self.parts)
        return named(metric, self.scoring, self.federation, without)

    @property
    def last_round(self) -> int:
        """The last round that is run: the stated one, or the last within the privacy budget."""
        return self.config.rounds if self.promise is None else self.promise.last_round

    @property
    def own_models(self) -> bool:
        """Whether each client is evaluated with a model of its own, whole or in part, or with its cluster's."""
        personal = self.parts.algorithm.client.personal is not None
        several = self.parts.algorithm.clusters is not None
        own = self.trainers.kind.own_models or self.parts.travelling.keeps
        return own or personal or several

    @property
    def own_models_not_covered(self) -> bool:
        """Whether the promise is of updates alone, and clients are scored with models of their own beside it."""
        return self.promise is not None and self.own_models and self.parts.privacy.per_example is None

    @property
    def global_beside_own(self) -> bool:
        """Whether there is a model for everybody beside the clients' own."""
        personal = self.parts.algorithm.client.personal
        return personal is not None and personal.beside_global and self.parts.algorithm.clusters is None

    @property
    def unseen_fit(self) -> UnseenFit | None:
        """How clients that never take part fit what does not travel; None where nothing is to be fitted."""
        return self.config.evaluation.unseen_fit if len(self.parts.travelling.unsent) else None

    def with_config(self, config: RunConfig) -> Setup:
        """The same setup under another config; nothing is built anew."""
        return replace(self, worker=replace(self.worker, config=config))


def prepare(config: RunConfig, *, rehearsal: bool = False, federation: Federation | None = None) -> Setup:
    """Load the data, partition it and build the model. Raises BadInput where the config does not fit the data.

    User code is tried as part of this; raises OwnCodeFailed where it fails. rehearsal: nothing of it is trained in
    earnest, so that where a frozen trunk has not yet run, features of a few examples stand in. federation: to train in.
    """
    with own_code_named(config):
        device = device_of(config.device)
        check_own_code(config)
        setup = _prepared(config, federation or _federation(config), device, rehearsal=rehearsal)
        check_shadows(config, partial(prepare_shadow, setup, rehearsal=rehearsal))
        return setup


def prepare_shadow(setup: Setup, number: int, *, rehearsal: bool = False) -> Setup:
    """The same for a shadow federation of this run, by its number from 0. Raises as `prepare` does.

    It runs no protocol, as the sum is the same without it, and promises nothing.
    """
    noise = None if setup.promise is None else setup.promise.noise
    config = shadow_config(setup.config, number, noise)
    federation = half_of(setup.federation, setup.config.seed, number)
    with own_code_named(config):
        return _prepared(config, federation, setup.inputs.device, is_shadow=True, rehearsal=rehearsal)


def worker_for(config: RunConfig, federation: Federation) -> Worker:
    """The worker of another process for the clients of a federation that was prepared in this one. Raises BadInput."""
    with own_code_named(config):
        return _prepared(config, federation, device_of(config.device)).worker


_TRIED = 64
"""Examples on which measures of a person's own are tried."""


def _prepared(
    config: RunConfig,
    federation: Federation,
    device: torch.device,
    *,
    is_shadow: bool = False,
    rehearsal: bool = False,
) -> Setup:
    scoring = run_scoring(config, federation.examples)
    trainers = who_trains(config, federation)
    fitted = fitted_loss(config, federation.examples, trainers.holders)
    work = work_of(config, federation, trainers, device, fitted)
    tried = tried_model(config, work, federation.examples.output_shape)
    tried_loss(config, work)
    try_measures(
        config, scoring, federation.examples.output_shape, work.targets[federation.training[:_TRIED]]
    )
    parts, promise = parts_of(
        config, trainers, work.model, federation.examples, device, promises=not is_shadow
    )
    parts = parts.with_plain_sum if is_shadow else parts
    work = work._replace(per_example=per_example_of(config, parts))
    check_run(config, federation, scoring, trainers, work.model, parts, takes_one=tried.takes_one)
    start = work.model.vector[: work.model.num_trainable].clone()
    try_parts(config, parts, start, federation.examples.num_outputs, population_among(config, trainers))
    cached = cached_work(config, work, parts, rehearsal=rehearsal)
    of_inputs, work, trunk = (None, work, None) if cached is None else (work, *cached)
    check_fits(config, work, (of_inputs or work).model)
    cohort = trainers.eligible[: trainers.cohort_size].tolist()
    worker = Worker(config, trainers.holders, parts, work, engine_of(config, cohort, work, parts))
    size = shard_size(work, config.engine, trainers.cohort_size)
    notes = (*tried.notes, *filter(None, [parts.algorithm.note]))
    store = Spilling(bound_bytes(config.engine), home() / "checkpoints", BOUND)
    return Setup(
        federation, trainers, worker, size, scoring, fitted.readout, store, notes, promise, of_inputs, trunk
    )


def initial_state(setup: Setup) -> RunState:
    """The state before the first round."""
    parameters = setup.initial_parameters.clone()  # which an algorithm of a person's own may change in place
    algorithm = setup.parts.algorithm.init(parameters[: setup.model.num_trainable])
    privacy = setup.parts.privacy.init(setup.parts.travelling.num_moving)
    server = with_server(with_server({}, ALGORITHM, algorithm), PRIVACY, privacy)
    return RunState(round=0, parameters=parameters, server=server)


def _federation(config: RunConfig) -> Federation:
    """The federation. Raises OwnCodeFailed where the user's data set or partitioner returned unsuitable data."""
    try:
        return partition_clients(config)
    except BadInput as error:
        if is_own(config.dataset) or is_own(config.partitioner):
            raise OwnCodeFailed(str(error)) from error
        raise
