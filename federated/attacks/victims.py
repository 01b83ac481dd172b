"""The updates that are inverted: of clients with few examples, through all that the run does to an update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from data_partitioners import Partition
from federated.attacks.observed import in_a_round_that_trains, one_cohort, reports_of, without_traces
from federated.config.measuring.leakage import Inversion
from federated.foundation.randomness import Purpose, generator
from federated.local_training import Updates
from federated.local_training.engine import local_trainer
from federated.machine.cores import threads_of
from federated.rounds import aggregate
from federated.run.clients.order import ShardOrder
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.run.worker import Worker
from federated.shards.sums import aggregated
from federated.wire.downlink import broadcast
from federated.wire.uplink import Received, compress

if TYPE_CHECKING:
    from federated.shards.report import ShardReport

_EXAMPLES = 4  # key of Purpose.LEAKAGE


class View(NamedTuple):
    """An update as somebody reads it, and what is behind it.

    received: the model [P] that its clients had. update: [T], which moved it. indices: of the examples behind it.
    """

    received: Tensor
    update: Tensor
    indices: np.ndarray


class Views(NamedTuple):
    """read: what the server reads: the update of each victim, or the mean of a cohort where it reads no more.

    released: of the same cohort, what is released after noise at the server; None where nothing is added there. cohort:
    the number of its clients.
    """

    read: list[View]
    released: View | None
    cohort: int


def views(state: RunState, setup: Setup, options: Inversion) -> Views:
    """One round of clients with few examples each, at its start or after its end."""
    state = initial_state(setup) if options.at == "start" else in_a_round_that_trains(state, setup)
    few, alone = _with_few(setup, options), setup.parts.transport.reveals == "sum"
    holding = setup.trainers.eligible if alone else _holding(setup, options.examples)
    cohort = one_cohort(setup, holding)
    model = broadcast(few, state, cohort.tolist()).model
    read: list[Tensor] = []

    def kept(worker: Worker, order: ShardOrder, updates: Updates) -> Received:
        received = compress(worker, order, updates)
        read.extend(received.decoded)
        return received

    everybody = alone or setup.parts.privacy.release is not None
    senders = cohort if everybody else cohort[: options.clients]
    reports = reports_of(state, few, model, senders, kept)
    held, trainable = few.federation.clients, setup.model.num_trainable
    everything = np.concatenate([held[client] for client in cohort])
    released = _released(few, state, reports, model, everything)
    if alone:
        mean = aggregated(few, state.round, reports, cohort)
        return Views([View(model, mean[:trainable].to(model), everything)], released, len(cohort))
    victims = zip(read[: options.clients], cohort, strict=False)
    return Views(
        [View(model, row[:trainable].to(model), held[client]) for row, client in victims],
        released,
        len(cohort),
    )


def _released(
    setup: Setup, state: RunState, reports: Sequence[ShardReport], model: Tensor, everything: np.ndarray
) -> View | None:
    """The step of the global model, which is all that anybody but the server sees; None without a release."""
    if setup.parts.privacy.release is None:
        return None
    after, trainable = aggregate(setup, state, reports), setup.model.num_trainable
    return View(model, (after.parameters - state.parameters)[:trainable], everything)


def _holding(setup: Setup, examples: int) -> np.ndarray:
    """The clients with at least so many training examples."""
    return np.flatnonzero(setup.federation.sizes >= examples)


def _with_few(setup: Setup, options: Inversion) -> Setup:
    """The same setup, whose clients have few examples and take few steps on all of them."""
    federation = setup.federation
    few = tuple(
        generator(setup.config.seed, Purpose.LEAKAGE, _EXAMPLES, client).permutation(held)[: options.examples]
        for client, held in enumerate(federation.clients)
    )
    setup = without_traces(setup)
    local = setup.trainers.local.model_copy(
        update={"epochs": None, "steps": options.steps, "batch_size": None}
    )
    work = setup.worker.work._replace(clients=few, local=local)
    holders = Partition(few, federation.names)
    engine = setup.config.engine.model_copy(update={"name": "loop"})
    trained = local_trainer(work, engine, [], threads_of(setup.config.orchestration.threads))
    worker = replace(setup.worker, holders=holders, work=work, train=trained)
    trainers = replace(setup.trainers, holders=holders, local=local)
    return replace(setup, federation=replace(federation, clients=few), trainers=trainers, worker=worker)
