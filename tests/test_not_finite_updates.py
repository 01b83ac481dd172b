"""Updates that are not finite count as zeros where a mechanism guarantees something, and end the run elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.foundation.errors import Diverged
from federated.local_training import Updates
from federated.privacy.clipping import clipped
from federated.rounds import STAGES, run_round
from federated.run.round_report import RoundReport
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

CLIENT = 2
MECHANISMS = (
    "central_gaussian(0.1, 1)",
    "central_gaussian(0.1, 0.1, quantile=0.5)",
    "dp_ftrl(0.1, 1, 1)",
    "local_gaussian(0.1, 1)",
    "local_laplace(1, 0.1)",
    "dp_sgd(0.1, 1)",
)


def prepared(privacy: str, **changes: object) -> Setup:
    cohort = {"size": 6, "weighting": "uniform"}
    return prepare(config_of(**{"privacy": privacy, "cohort": cohort, **changes}))


def after_a_round(setup: Setup, value: float) -> tuple[RunState, RoundReport]:
    """A round in which the update of one client is this value everywhere."""

    def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms) -> Updates:
        updates = setup.worker.train(received, cohort, done, terms)
        deltas = updates.deltas.clone()
        deltas[list(cohort).index(CLIENT)] = value
        return updates._replace(deltas=deltas)

    changed = replace(setup, worker=replace(setup.worker, train=train))
    return run_round(initial_state(changed), changed, STAGES)


@pytest.mark.parametrize("privacy", MECHANISMS)
def test_under_a_guarantee_it_counts_as_zeros_and_is_counted(privacy: str) -> None:
    setup = prepared(privacy)
    expected, of_zeros = after_a_round(setup, 0.0)
    assert of_zeros.metrics(expected)["privacy/zeroed_clients"] == 0
    for value in (math.nan, math.inf, -math.inf):
        found, report = after_a_round(setup, value)
        assert torch.equal(found.parameters, expected.parameters)
        metrics = report.metrics(found)
        assert metrics["privacy/zeroed_clients"] == 1
        assert metrics["privacy/clipped_clients"] == of_zeros.clipped_clients + 1


def test_the_loss_is_the_mean_of_the_clients_that_have_one() -> None:
    """By hand: of six clients with losses 1, 2, NaN, 4, 5 and infinity four count; of none there is no loss."""

    def report_of(losses: Sequence[float]) -> dict[str, float]:
        def train(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms) -> Updates:
            return setup.worker.train(received, cohort, done, terms)._replace(losses=torch.tensor(losses))

        setup = replace(prepared("central_gaussian(0.1, 1)"), shard_size=6)
        changed = replace(setup, worker=replace(setup.worker, train=train))
        state, report = run_round(initial_state(changed), changed, STAGES)
        return report.metrics(state)

    assert report_of([1, 2, math.nan, 4, 5, math.inf])["train/loss"] == pytest.approx(3)
    assert report_of([1, 2, 3, 4, 5, 6])["train/loss"] == pytest.approx(3.5)
    assert "train/loss" not in report_of([math.nan] * 6)


@pytest.mark.parametrize("privacy", ["none", "clip(0.1)", "central_gaussian(0.1, 0)"])
def test_without_a_guarantee_it_ends_the_run(privacy: str) -> None:
    setup = prepared(privacy)
    with pytest.raises(Diverged, match="round 1: the update of client 2 is not finite"):
        after_a_round(setup, math.nan)
    state, report = after_a_round(setup, 0.0)
    assert "privacy/zeroed_clients" not in report.metrics(state)


@pytest.mark.parametrize("algorithm", ["ditto", "pfedme", "apfl", "fedper"])
def test_what_clients_keep_stays_finite(algorithm: str) -> None:
    """Trained with steps that diverge at every client: nobody moves, and what is released is noise alone."""
    local = {"epochs": 2, "batch_size": 16, "learning_rate": 1e38}
    setup = prepared("central_gaussian(0.1, 1)", algorithm=algorithm, local=local)
    state, report = run_round(initial_state(setup), setup, STAGES)
    assert report.zeroed_clients == 6
    assert state.parameters.isfinite().all()
    for of_owner in state.clients.values():
        for kept in of_owner.values():
            assert all(value.isfinite().all() for value in kept.values())


def test_clipping_takes_what_is_no_number_as_zeros() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [math.nan, 1.0], [math.inf, 1.0], [1e30, -1e30]])
    within, changed = clipped(rows, 1.0)
    assert torch.allclose(within, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    assert changed.tolist() == [True, False, True, True, True]
