"""THE LOOP: sample a cohort, broadcast, train, encode, decode, aggregate, step the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.compressors import CohortState
from federated.foundation.errors import Diverged
from federated.foundation.randomness import Purpose, generator
from federated.local_training import Updates
from federated.metrics import Metrics
from federated.run.drift import Drift, drift, drift_metrics
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.run.without_server import train_alone
from federated.user_code.containment import own_code_named
from federated.wire.distortion import Distortion, distortion_metrics
from federated.wire.downlink import broadcast
from federated.wire.ledger import Traffic, joined, ledger_metrics, total_bytes, weighed
from federated.wire.payload_files import dump
from federated.wire.uplink import Received, compress, rows_by_client


class Partial(NamedTuple):
    """What a shard adds to its round: its share [P], float64 on the CPU, of the weighted mean update, and figures."""

    mean_update: Tensor
    loss: float
    uplink: Traffic
    clipped_clients: int
    distortion: Distortion
    compressor_state: dict[int, CohortState]
    training_seconds: float
    compression_seconds: float
    drift: Drift | None = None


@dataclass(frozen=True)
class RoundReport:
    """What happened in one round. communication, drift: metrics of both ways and of the updates, as they are logged."""

    round: int
    loss: float
    cohort_clients: int
    cohort_examples: int
    update_norm: float | None
    drift: Metrics
    communication: Metrics
    clipped_clients: int
    training_seconds: float
    compression_seconds: float
    aggregation_seconds: float

    def metrics(self, state: RunState) -> Metrics:
        """The report under the names of mlflow/README.md; `state` is the one after the round."""
        return {
            "train/loss": self.loss,
            "train/cohort_clients": self.cohort_clients,
            "train/cohort_examples": self.cohort_examples,
            **({} if self.update_norm is None else {"train/update_norm": self.update_norm}),
            **self.drift,
            **self.communication,
            "communication/uplink_bytes_total": state.uplink_bytes,
            "communication/downlink_bytes_total": state.downlink_bytes,
            "privacy/clipped_clients": self.clipped_clients,
            "system/training_seconds": self.training_seconds,
            "system/compression_seconds": self.compression_seconds,
            "system/aggregation_seconds": self.aggregation_seconds,
        }


class Stages(NamedTuple):
    """The stages of a round as functions, so that an orchestrator can run each as a task of its own."""

    train: Callable[[Setup, RunState, Tensor, Sequence[int]], Updates]
    compress: Callable[[Setup, RunState, Updates], Received]
    aggregate: Callable[[Setup, RunState, Sequence[Partial]], RunState]


def train_rounds(
    state: RunState,
    setup: Setup,
    until: int,
    stages: Stages | None = None,
    on_round: Callable[[RunState], None] = lambda state: None,
) -> RunState:
    """Run rounds until `until` are done; each adds its metrics to the history.

    on_round is told the state after each round, to show it. Raises Diverged, with the history so far.
    """
    while state.round < until:
        try:
            with own_code_named(setup.config):
                state, report = run_round(state, setup, stages or STAGES)
        except Diverged as error:
            raise Diverged(str(error), tuple(state.history)) from error
        state = replace(state, history=state.history.then((report.round, report.metrics(state))))
        on_round(state)
    return state


def run_round(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """One round of federated learning, or of training without a server."""
    if setup.config.training != "federated":
        return _round_alone(state, setup, stages)
    cohort = sample_cohort(setup, state.round)
    weights = weights_of(cohort, setup)
    model, parcels, remembered, quality = broadcast(setup, state, cohort.tolist())
    dump(setup.config, state.round, "downlink", cohort.tolist(), parcels)
    downlink = weighed(parcels)
    shards = _shards(len(cohort), setup.shard_size)
    partials = [_run_shard(state, setup, stages, model, cohort[shard], weights[shard]) for shard in shards]
    started = time.perf_counter()
    after = stages.aggregate(setup, state, partials)
    after = replace(after, downlink_bytes=state.downlink_bytes + total_bytes(downlink), downlink=remembered)
    return after, RoundReport(
        round=after.round,
        loss=sum(partial.loss for partial in partials),
        cohort_clients=len(cohort),
        cohort_examples=int(setup.federation.sizes[cohort].sum()),
        update_norm=float(torch.linalg.vector_norm(after.parameters - state.parameters)),
        drift=drift_metrics([partial.drift for partial in partials if partial.drift is not None]),
        communication={**_communication(partials, downlink, state.parameters.numel()), **quality},
        clipped_clients=sum(partial.clipped_clients for partial in partials),
        training_seconds=sum(partial.training_seconds for partial in partials),
        compression_seconds=sum(partial.compression_seconds for partial in partials),
        aggregation_seconds=time.perf_counter() - started,
    )


def _round_alone(state: RunState, setup: Setup, stages: Stages) -> tuple[RunState, RoundReport]:
    """A round in which nothing is sent: no byte is counted, because none exists."""
    started = time.perf_counter()
    after, turn = train_alone(state, setup, stages.train)
    sizes = setup.holders.sizes[turn.holders]
    return after, RoundReport(
        round=after.round,
        loss=float(sizes / sizes.sum() @ turn.losses),
        cohort_clients=len(turn.holders),
        cohort_examples=int(sizes.sum()),
        update_norm=float(turn.norms[0]) if setup.config.training == "centralised" else None,
        drift={},
        communication={"communication/uplink_bytes": 0, "communication/downlink_bytes": 0},
        clipped_clients=0,
        training_seconds=time.perf_counter() - started,
        compression_seconds=0.0,
        aggregation_seconds=0.0,
    )


def _communication(partials: Sequence[Partial], downlink: Traffic, num_parameters: int) -> Metrics:
    return {
        **ledger_metrics("uplink", joined([partial.uplink for partial in partials]), num_parameters),
        **ledger_metrics("downlink", downlink, num_parameters),
        **distortion_metrics([partial.distortion for partial in partials]),
    }


def sample_cohort(setup: Setup, done: int) -> np.ndarray:
    """The clients of the round after `done` rounds, in rising order; without replacement.

    The draw is one shuffle of all clients, of which those with examples are taken from the front: arms whose
    partitions leave different clients empty still share nearly all of their cohorts.
    """
    order = generator(setup.config.seed, Purpose.COHORT, done).permutation(len(setup.federation.clients))
    eligible = order[setup.federation.sizes[order] > 0]
    return np.sort(eligible[: setup.cohort_size])


def weights_of(cohort: np.ndarray, setup: Setup) -> np.ndarray:
    """What each client's update counts in the mean, float64 [C], summing to one."""
    uniform = setup.config.cohort.weighting == "uniform"
    counts = np.ones(len(cohort)) if uniform else setup.federation.sizes[cohort].astype(np.float64)
    shares: np.ndarray = counts / counts.sum()
    return shares


def train(setup: Setup, state: RunState, model: Tensor, shard: Sequence[int]) -> Updates:
    """Local training of a shard of the cohort. Raises Diverged where an update is not finite."""
    terms = setup.algorithm.terms(state.server, shard)
    updates = setup.train(model, shard, state.round, terms)
    if updates.deltas.sum().isfinite():  # what is not finite shows in the sum, which is quick
        return updates
    finite = torch.isfinite(updates.deltas).all(dim=1).cpu()
    if not finite.all():
        client = setup.holders.names[shard[int((~finite).nonzero()[0])]]
        raise Diverged(
            f"round {state.round + 1}: the update of client {client} is not finite; "
            f"a smaller local.learning_rate (now {setup.config.local.learning_rate}) may help"
        )
    return updates


def aggregate(setup: Setup, state: RunState, partials: Sequence[Partial]) -> RunState:
    """Add the shards up and step the server."""
    mean_update = torch.stack([partial.mean_update for partial in partials]).sum(dim=0).to(state.parameters)
    trainable = setup.model.num_trainable
    server, stepped = setup.algorithm.update(
        state.server, state.parameters[:trainable], mean_update[:trainable]
    )
    # Running statistics are averaged, whatever the algorithm does with gradients' sums.
    parameters = torch.cat([stepped, state.parameters[trainable:] + mean_update[trainable:]])
    clients = dict(state.clients)
    for partial in partials:
        clients |= partial.compressor_state
    uplink_bytes = state.uplink_bytes + sum(total_bytes(partial.uplink) for partial in partials)
    return replace(
        state,
        round=state.round + 1,
        parameters=parameters,
        server=server,
        clients=clients,
        uplink_bytes=uplink_bytes,
    )


STAGES = Stages(train, compress, aggregate)


def _run_shard(
    state: RunState, setup: Setup, stages: Stages, model: Tensor, clients: np.ndarray, weights: np.ndarray
) -> Partial:
    started = time.perf_counter()
    updates = stages.train(setup, state, model, clients.tolist())
    trained = time.perf_counter()
    received = stages.compress(setup, state, updates)
    measured = setup.config.evaluation.drift
    return Partial(
        mean_update=weighted_sum(weights, received.decoded),
        loss=float(weights @ updates.losses.double().numpy()),
        uplink=received.traffic,
        clipped_clients=received.clipped_clients,
        distortion=received.distortion,
        drift=drift(updates.deltas[:, : setup.model.num_trainable]) if measured else None,
        compressor_state=rows_by_client(received.compressor_state, clients),
        training_seconds=trained - started,
        compression_seconds=time.perf_counter() - trained,
    )


def weighted_sum(weights: np.ndarray, decoded: Tensor) -> Tensor:
    """Of a shard's updates [c, P], in double precision, [P]; einsum makes no copy of them in that precision."""
    return torch.from_numpy(np.einsum("c,cp->p", weights, decoded.numpy()))


def _shards(num_clients: int, size: int) -> list[slice]:
    """The cohort cut into shards of at most `size` clients."""
    return [slice(start, start + size) for start in range(0, num_clients, size)]
