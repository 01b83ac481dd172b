"""The work of a round in full batches, by which a probe's measurements are scaled."""

from __future__ import annotations

import math

import numpy as np

from data_partitioners.partition import sizes_of
from federated.algorithms.local_terms import Phase
from federated.config.run import LocalTraining
from federated.evaluation.predicted import sets_of
from federated.run.clients.client_half import terms_of
from federated.run.clients.cohort import expected_clients
from federated.run.clients.order import order_of
from federated.run.preparing.budget import centralised_training
from federated.run.setup import Setup, initial_state


def batches_of(local: LocalTraining, size: np.ndarray) -> np.ndarray:
    """The work of clients with `size` [K] examples in a round, in full batches, float [K].

    The mean of a step counted as one, whatever its batch, and of examples over the size of a batch: half of the cost
    of a step goes with its examples. The mean of a range of epochs or steps.
    """
    batch = np.minimum(local.batch_size or np.inf, np.maximum(size, 1))
    if local.steps is not None:
        return np.full(len(size), float(np.mean(local.steps))) * (size > 0)
    full = local.batch_size or np.maximum(size, 1)
    per_epoch: np.ndarray = (np.ceil(size / batch) + size / full) / 2
    return float(np.mean(local.passes)) * per_epoch


def phases_of(setup: Setup) -> tuple[Phase, ...]:
    """The phases of a client's local training; none where everything moves in all steps."""
    if not setup.config.kind.has_server:
        return ()
    state, clients = initial_state(setup), setup.trainers.eligible[:1]
    return terms_of(setup.worker, order_of(state, state.parameters, clients, np.ones(1))).phases


def batches_of_phases(setup: Setup, size: np.ndarray) -> np.ndarray:
    """`batches_of` all phases of a round together, float [K]."""
    local = setup.trainers.local
    parts = [batches_of(_lasting(local, phase), size) for phase in phases_of(setup)]
    return np.sum(parts, axis=0) if parts else batches_of(local, size)


def _lasting(local: LocalTraining, phase: Phase) -> LocalTraining:
    if phase.epochs is None and phase.steps is None:
        return local
    return local.model_copy(update={"epochs": phase.epochs, "steps": phase.steps})


def num_evaluated(setup: Setup) -> dict[str, int]:
    """Examples of each evaluated set that go through a model."""
    sizes = {name: len(part.indices) for name, part in sets_of(setup).items()}
    if setup.global_beside_own:
        sizes |= {f"{name} by the global model": sizes[name] for name in ("client", "test") if name in sizes}
    return sizes


def evaluation_mb(setup: Setup) -> float:
    """The outputs that an evaluation holds at once: of its largest set, twice, as batches are put together."""
    each = math.prod(setup.federation.examples.output_shape) * setup.model.vector.element_size()
    return 2 * max(num_evaluated(setup).values()) * each / 1e6


def round_batches(setup: Setup) -> float:
    """Full batches of a round, all clients together: the mean over those that hold examples, times those that train.

    Without a server too, where a round spends what one of a federation does in expectation (`run.preparing.budget`).
    """
    config, federation = setup.config, setup.federation
    holding = federation.sizes[federation.sizes > 0]
    if config.kind.pools_examples:
        cohort = min(config.cohort.size_among(len(federation.clients)), len(holding))
        steps = centralised_training(config, federation.clients, cohort).steps
        return float(np.mean([steps or 0]))
    return float(batches_of_phases(setup, holding).mean()) * trained_clients(setup)


def trained_clients(setup: Setup) -> float:
    """The mean number of clients that train in a round and are heard; without a server, of those of a federation."""
    if not setup.config.kind.has_server:
        return float(setup.trainers.cohort_size)
    return expected_clients(setup) * (1 - setup.parts.participation.losses)


def personalisation_batches(setup: Setup) -> float:
    """Full batches of fine-tuning the model for every client once; 0 where that is not asked for."""
    options = setup.config.evaluation.personalisation
    if options is None or options.steps == 0:
        return 0.0
    local = setup.config.local.model_copy(update={"epochs": options.epochs, "steps": options.steps})
    held_out = sizes_of(setup.federation.own_held_out) > 0
    return float(batches_of(local, setup.federation.sizes[held_out]).sum())
