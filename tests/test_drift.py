"""Drift diagnostics: a double loop over pairs, hand-worked cases, any cut into shards, and switched off."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from federated.run.course import Course
from federated.run.drift import drift, drift_metrics
from federated.run.setup import initial_state, prepare
from federated.segments import train
from tests.conftest import config_of, deltas, normal

NAMES = {
    "train/client_update_norm_mean",
    "train/client_update_norm_max",
    "train/gradient_diversity",
    "train/update_cosine_mean",
}


def by_pairs(updates: np.ndarray) -> dict[str, float]:
    """The slow way: every pair by itself, in 64 bits."""
    rows = updates.astype(np.float64)
    norms = [float(np.sqrt(sum(value * value for value in row))) for row in rows]
    cosines = [
        float(np.dot(rows[i], rows[j]) / (norms[i] * norms[j]))
        for i, j in itertools.combinations(range(len(rows)), 2)
        if norms[i] and norms[j]
    ]
    total = np.zeros(rows.shape[1])
    for row in rows:
        total += row
    return {
        "train/client_update_norm_mean": float(np.mean(norms)),
        "train/client_update_norm_max": max(norms),
        "train/gradient_diversity": sum(norm**2 for norm in norms) / float(np.dot(total, total)),
        "train/update_cosine_mean": float(np.mean(cosines)),
    }


@pytest.mark.parametrize("updates", [normal(7, 300), deltas(12, 50), normal(3, 4000) + 2.0])
def test_the_figures_are_those_of_a_loop_over_pairs(updates: torch.Tensor) -> None:
    measured = drift_metrics([drift(updates)])
    for name, expected in by_pairs(updates.numpy()).items():
        assert measured[name] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_worked_by_hand() -> None:
    same = drift_metrics([drift(torch.tensor([[3.0, 4.0]] * 4))])
    assert same["train/gradient_diversity"] == pytest.approx(1 / 4)
    assert same["train/update_cosine_mean"] == pytest.approx(1)
    across = drift_metrics([drift(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))])
    assert across["train/gradient_diversity"] == pytest.approx(1)
    assert across["train/update_cosine_mean"] == pytest.approx(0, abs=1e-7)
    assert across["train/client_update_norm_mean"] == pytest.approx(2)
    assert across["train/client_update_norm_max"] == pytest.approx(3)
    against = drift_metrics([drift(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))])
    assert against["train/gradient_diversity"] == pytest.approx(5)
    assert against["train/update_cosine_mean"] == pytest.approx(-1)


def test_what_has_no_meaning_is_left_out() -> None:
    one = drift_metrics([drift(torch.tensor([[1.0, 2.0]]))])
    assert "train/update_cosine_mean" not in one
    assert one["train/gradient_diversity"] == pytest.approx(1)
    still = drift_metrics([drift(torch.zeros(3, 2))])
    assert still == {"train/client_update_norm_mean": 0.0, "train/client_update_norm_max": 0.0}
    # A client that did not move has no direction, and counts in the mean norm.
    some = drift_metrics([drift(torch.tensor([[0.0, 0.0], [0.0, 3.0], [0.0, 6.0]]))])
    assert some["train/update_cosine_mean"] == pytest.approx(1)
    assert some["train/client_update_norm_mean"] == pytest.approx(3)
    assert drift_metrics([]) == {}


@pytest.mark.parametrize("size", [1, 3, 5])
def test_shards_join_to_the_whole(size: int) -> None:
    updates = normal(11, 200)
    whole = drift_metrics([drift(updates)])
    cut = drift_metrics([drift(part) for part in torch.split(updates, size)])
    assert cut == pytest.approx(whole, rel=1e-5)


def test_a_round_measures_its_own_updates_and_any_shards_agree() -> None:
    setup = prepare(config_of())
    course = train(Course(initial_state(setup)), setup, 1)
    cohort = [k for k in range(6) if k in _cohort(setup)]
    updates = setup.worker.train(setup.initial_parameters, cohort, 0).deltas
    ((_, metrics),) = course.history
    measured = {name: metrics[name] for name in NAMES}
    assert measured == pytest.approx(by_pairs(updates.numpy()), rel=1e-4)
    cut = replace(setup, shard_size=1)
    ((_, again),) = train(Course(initial_state(cut)), cut, 1).history
    assert {name: again[name] for name in NAMES} == pytest.approx(measured, rel=1e-5)


def test_it_can_be_left_out_and_changes_nothing_of_the_training() -> None:
    on, off = (prepare(config_of(evaluation={"drift": wanted})) for wanted in (True, False))
    with_it, without = (train(Course(initial_state(setup)), setup, 2) for setup in (on, off))
    assert torch.equal(with_it.state.parameters, without.state.parameters)
    assert not NAMES & without.history[-1][1].keys()
    assert with_it.history[-1][1].keys() - without.history[-1][1].keys() == NAMES


def _cohort(setup) -> set[int]:  # type: ignore[no-untyped-def]
    from federated.run.clients.cohort import sample_cohort

    return set(sample_cohort(setup, 0).tolist())
