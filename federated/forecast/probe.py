"""The probe: a few local steps, one evaluation and real payloads, timed with the run's own engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor

from federated.algorithms import Algorithm, Rows, Second, ServerState
from federated.config.run import RunConfig
from federated.forecast.payloads import downlink_payload, uplink_payload
from federated.forecast.seconds.evaluation import evaluation_seconds
from federated.forecast.seconds.protocol import parts_of_probe
from federated.forecast.seconds.rounds import Timed, few_steps, round_by, whole_rounds
from federated.forecast.traffic.amounts import MARGIN, MARGIN_OF_SHORT_ROUNDS, Amount
from federated.forecast.workload import batches_of_phases, phases_of, round_batches
from federated.foundation.doing import doing
from federated.foundation.errors import Diverged
from federated.local_training import Updates
from federated.machine.cores import threads_of
from federated.machine.queueing import NOTHING, Stopwatch, Taken
from federated.rounds import STAGES, Stages, run_round
from federated.run.clients.client_half import terms_of
from federated.run.clients.cohort import sample_cohort
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.run.worker import Worker
from federated.shards import ShardOrder, in_this_process, train, trained_in_this_process
from federated.wire.uplink import Received, compress

_FEW_CLIENTS = 4


@dataclass(frozen=True)
class Probe:
    """The costs of one setting on this machine. Seconds are of a run with its threads, without other programs' part.

    batch_seconds: one client's local step on a full batch. client_seconds: all else that goes with a client of the
    cohort: encoding, counting, decoding, adding up. round_seconds: what goes with a round. evaluation_seconds: of one
    evaluation. uplink, downlink: bytes of a client's update, and of the payload that the server encodes in a round.
    diverged: why the training left the finite numbers, if it did. inversion_seconds: of gradient inversion at its end.
    taken: by the rounds of the probe, all together. cores: that a round keeps busy, on average.
    """

    batch_seconds: float
    client_seconds: float
    round_seconds: float
    evaluation_seconds: float
    uplink: Amount
    downlink: Amount
    diverged: str = ""
    inversion_seconds: float = 0.0
    taken: Taken = NOTHING
    cores: float = 1.0

    def seconds_of_round(self, clients: float, batches: float) -> float:
        """A round with so many clients, who train on so many batches together."""
        return self.round_seconds + clients * self.client_seconds + batches * self.batch_seconds


@doing("trying some rounds for the forecast")
def probe(setup: Setup, seconds: float) -> Probe:
    """Measure one setting in about so many seconds; at least some single steps, however long they take.

    What takes long is measured once: with a model whose steps take seconds, five steps of a client a thread and
    evaluations of a few examples are all.
    """
    setup = _with_cohorts_of_one_size(setup.with_config(_clients_alone(setup.config)))
    state, watch = initial_state(setup), Watch()
    costs, diverged = (0.0, 0.0, 0.0, 1.0), ""
    try:
        few = _warmed_up(setup, state, watch, seconds)
        single = watch.round(setup, state, few, 1)
        whole = single.training / single.batches * round_batches(setup)
        whole += single.rest / single.clients * setup.trainers.cohort_size
        watch = Watch(watch.taken)
        if whole > seconds:  # or so it seems: a first step takes longer than those that follow
            costs = few_steps(setup, watch, single, few, seconds)
            whole = 2 * round_by(costs, setup)
        if whole <= seconds:
            watch = Watch(watch.taken)
            costs = whole_rounds(setup, watch, seconds)
    except Diverged as error:
        diverged = str(error)
    return Probe(
        *costs[:3],
        evaluation_seconds=0.0 if diverged else evaluation_seconds(setup, watch.state or state, seconds),
        uplink=watch.uplink(setup),
        downlink=downlink_payload(setup, watch.models(setup), watch.margin),
        diverged=diverged,
        taken=watch.taken,
        cores=costs[3],
    )


def _warmed_up(setup: Setup, state: RunState, watch: Watch, seconds: float) -> int:
    """The number of clients in the shortened rounds; as many as threads where a round of a few clients takes long.

    The first rounds warm up: imports, scratch space, the processor's cache.
    """
    few = min(setup.trainers.cohort_size, _FEW_CLIENTS)
    least = min(few, threads_of(setup.config.orchestration.threads))
    watch.round(setup, state, least, 1)
    if least == few:
        return few
    warm = watch.round(setup, state, least, 1)
    if few / least * (warm.training + warm.rest) > seconds:
        return least
    watch.round(setup, state, few, 1)
    return few


def _with_cohorts_of_one_size(setup: Setup) -> Setup:
    """A probe asks for so many clients, and none of them is lost."""
    if not setup.config.kind.has_server:
        return setup
    parts = parts_of_probe(setup.parts)
    return replace(setup, worker=replace(setup.worker, parts=parts))


def _clients_alone(config: RunConfig) -> RunConfig:
    """A probe leaves no payloads in the folder of the run's, and has no canaries, whose bytes do not count."""
    compression = config.compression.model_copy(update={"dump": None})
    privacy = config.privacy.model_copy(update={"canaries": 0})
    return config.model_copy(update={"compression": compression, "privacy": privacy})


class Watch:
    """Runs rounds of a setting, shorter ones than the run's where asked, and keeps what travelled."""

    def __init__(self, taken: Taken = NOTHING) -> None:
        """taken: by earlier rounds of the probe."""
        self.taken = taken
        self.state: RunState | None = None
        self.margin = MARGIN
        self._models: list[Tensor] = []
        self._updates: list[Tensor] = []
        self._sent: list[int] = []
        self._beside: Rows = {}

    def round(self, setup: Setup, state: RunState, clients: int, steps: int | None) -> Timed:
        """One round of so many clients and local steps; None: as many as the run's. Raises Diverged."""
        smaller = replace(setup, trainers=replace(setup.trainers, cohort_size=clients))
        self.margin = MARGIN if steps is None else MARGIN_OF_SHORT_ROUNDS
        stopwatch = Stopwatch()
        after, report = run_round(state, smaller, self._stages(steps))
        taken = stopwatch.taken()
        self.taken = Taken(*(sum(each) for each in zip(self.taken, taken, strict=True)))
        training = report.training_seconds * taken.alone / max(taken.seconds, 1e-9)
        self.state = after
        self._models += [state.parameters, after.parameters]
        trained = report.cohort_clients
        return Timed(
            training,
            taken.alone - training,
            taken.processor,
            trained,
            self._batches(smaller, state.round)
            if steps is None
            else float(trained * steps * (len(phases_of(setup)) or 1)),
            after,
        )

    def _batches(self, setup: Setup, done: int) -> float:
        """Full batches of the round after `done` rounds."""
        if not setup.config.kind.has_server:
            return round_batches(setup)
        sizes_of_cohort = setup.federation.sizes[sample_cohort(setup, done)]
        return float(batches_of_phases(setup, sizes_of_cohort).sum())

    def models(self, setup: Setup) -> list[Tensor]:
        """Global models of the probe, at least two."""
        return self._models or [setup.initial_parameters] * 2

    def uplink(self, setup: Setup) -> Amount:
        """Bytes of a client's update, and of what it sends beside it."""
        rows = self._updates[-1][:1] if self._updates else setup.initial_parameters[None]
        return uplink_payload(setup, rows, self._sent, self._beside, self.margin)

    def _stages(self, steps: int | None) -> Stages:
        """Those of a round, shortened to so many steps, whose payloads are kept."""
        shortened = train if steps is None else partial(_train_shortly, steps)
        return STAGES._replace(
            train_shards=partial(trained_in_this_process, train=shortened),
            run_shards=partial(in_this_process, train=shortened, compress=self._compress),
        )

    def _compress(self, worker: Worker, order: ShardOrder, updates: Updates) -> Received:
        received = compress(worker, order, updates)
        self._updates.append(updates.deltas[:1].clone())
        self._beside = {name: received.sent[name][0] for name in worker.parts.algorithm.client.sends}
        self._sent += np.sum(list(received.traffic.values()), axis=0).tolist()
        return received


def _train_shortly(steps: int, worker: Worker, order: ShardOrder) -> Updates:
    terms = replace(terms_of(worker, order), steps=np.full(len(order.clients), steps))
    short = _second_too(worker.parts.algorithm, steps)._replace(terms=lambda server, clients, own: terms)
    return train(replace(worker, parts=worker.parts._replace(algorithm=short)), order)


def _second_too(algorithm: Algorithm, steps: int) -> Algorithm:
    """The algorithm, whose second training, where it has one, is of so many steps."""
    asked = algorithm.client.second
    if asked is None:
        return algorithm

    def second(state: ServerState, own: Rows, received: Tensor) -> Second:
        whole = asked(state, own, received)
        return whole._replace(terms=replace(whole.terms, steps=np.full(len(whole.start), steps)))

    return algorithm._replace(client=algorithm.client._replace(second=second))
