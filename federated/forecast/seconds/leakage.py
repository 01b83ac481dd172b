"""The time of attacks after a run: of shadow federations from the costs of a round, of inversion by a short trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federated.attacks.inversion import inversion
from federated.attacks.membership import suspects_of
from federated.forecast.workload import batches_of_phases, num_evaluated, trained_clients
from federated.machine.queueing import Stopwatch
from federated.run.clients.cohort import heard_within
from federated.run.preparing.attacks.halves import half_of
from federated.run.setup import Setup
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.forecast.probe import Probe

_FEW, _MORE = 2, 5
"""Iterations of the trials of an inversion."""


def inversion_seconds(setup: Setup, state: RunState) -> float:
    """Wall time of the inversion that is asked for, 0 where none is: what it takes at any rate, and its iterations."""
    asked = setup.config.leakage.inversion if setup.config.leakage is not None else None
    if asked is None:
        return 0.0

    def timed(iterations: int) -> float:
        stopwatch = Stopwatch()
        inversion(state, setup, asked.model_copy(update={"iterations": iterations}))
        return stopwatch.taken().alone

    timed(1)  # imports, and the first time that memory is touched
    few, more = timed(_FEW), timed(_MORE)
    each = (more - few) / (_MORE - _FEW)
    each = each if each > 0 else more / _MORE  # a hiccup in the shorter one
    return max(few - _FEW * each, 0.0) + asked.iterations * each


def membership_seconds(setup: Setup, probed: Probe) -> float:
    """Wall time of the membership inference that is asked for, 0 where none is."""
    asked = setup.config.leakage.membership if setup.config.leakage is not None else None
    if asked is None:
        return 0.0
    suspects = suspects_of(setup, asked.examples, heard_within(setup, setup.config.rounds))
    evaluated = probed.evaluation_seconds * len(suspects.indices) / max(sum(num_evaluated(setup).values()), 1)
    updates = asked.updates * (evaluated + _round_of(setup, probed, np.unique(suspects.owners)))
    sizes = half_of(setup.federation, setup.config.seed, 0).sizes
    batches = float(batches_of_phases(setup, sizes[sizes > 0]).mean()) * trained_clients(setup)
    training = setup.config.rounds * probed.seconds_of_round(trained_clients(setup), batches)
    return asked.shadows * training + (asked.shadows + 1) * (evaluated + updates)


def _round_of(setup: Setup, probed: Probe, clients: np.ndarray) -> float:
    batches = float(batches_of_phases(setup, setup.federation.sizes[clients]).sum())
    return probed.seconds_of_round(len(clients), batches)
