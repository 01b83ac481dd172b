"""Short forms of the studies that repeat published tables, on the real images, within bands."""

from __future__ import annotations

from pathlib import Path

import pytest

from federated.evaluation.evaluate import evaluate
from federated.rounds import STAGES, run_round, train_rounds
from federated.run.setup import initial_state, prepare
from federated.study.study import Run, read_study

STUDIES = Path(__file__).parent.parent / "studies"
ACCURACY = "generalisation/test_accuracy"

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def runs_of(name: str, data: Path, *settings: str) -> list[Run]:
    """The runs of a study with seed 0 on the images in a folder, without downloads."""
    stated = [f"dataset.path={data}", "dataset.download=null", "orchestration.threads=1", *settings]
    return read_study(STUDIES / f"{name}.yaml", stated, [0]).runs()


# Five rounds of 50 steps each, where the table has fifty rounds of ten epochs. With Dirichlet(0.5), seeds 0 and 1 of
# FedAvg end at 0.592 and 0.569, of SCAFFOLD at 0.635 and 0.652.
@pytest.mark.parametrize(
    ("order", "least", "most"), [(0, 0.52, 0.65), (1, 0.57, 0.71)], ids=["fedavg", "scaffold"]
)
def test_niid_bench_in_short(real_data: Path, order: int, least: float, most: float) -> None:
    settings = ("local.epochs=null", "local.steps=50", "rounds=5")
    run = runs_of("niid_bench", real_data / "fashion-mnist", *settings)[order]
    setup = prepare(run.config)
    state = train_rounds(initial_state(setup), setup, 5)
    assert least < evaluate(state, setup)[ACCURACY] < most


def test_the_2nn_of_the_first_paper_reaches_its_accuracy_in_about_as_many_rounds(real_data: Path) -> None:
    (run, *_) = runs_of("fedavg_paper", real_data / "mnist")
    setup = prepare(run.config)
    assert (setup.stop.metric, setup.stop.target) == (ACCURACY, 0.97)
    state, accuracy = initial_state(setup), 0.0
    while accuracy < setup.stop.target and state.round < 120:
        state, _ = run_round(state, setup, STAGES)
        if state.round >= 35:
            accuracy = evaluate(state, setup)[ACCURACY]
    assert 40 <= state.round <= 87  # theirs: 87 with the best of their rates; ours 56 with seed 0


def test_geyer_reaches_the_paper_s_accuracy_at_its_epsilon_with_a_smaller_model(real_data: Path) -> None:
    (run, *_) = runs_of("geyer", real_data / "mnist")
    setup = prepare(run.config)
    assert setup.promise is not None
    assert 7.9 < setup.promise.spent(11).epsilon <= 8
    state = train_rounds(initial_state(setup), setup, 11)
    # Theirs: 0.78. Ours: 0.826 with seed 0, and 0.859 without noise.
    assert 0.78 <= evaluate(state, setup)[ACCURACY] < 0.87
