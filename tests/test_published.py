"""Short forms of the studies that repeat published tables, on the real images, within the bands that they state."""

from __future__ import annotations

from collections.abc import Mapping
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


def bands_of(name: str, arm: str) -> Mapping[str, tuple[float, float]]:
    """The bands of a study, which are of the mean of its seeds, and wide enough for one."""
    return read_study(STUDIES / f"{name}.yaml").expect[arm]


@pytest.mark.parametrize("order", [0, 1], ids=["fedavg", "scaffold"])
def test_niid_bench_in_short(real_data: Path, order: int) -> None:
    run = runs_of("niid_bench_short", real_data / "fashion-mnist")[order]
    setup = prepare(run.config)
    state = train_rounds(initial_state(setup), setup, run.config.rounds)
    least, most = bands_of("niid_bench_short", run.arm)[ACCURACY]
    assert least < evaluate(state, setup)[ACCURACY] < most


def test_the_2nn_of_the_first_paper_reaches_its_accuracy_in_about_as_many_rounds(real_data: Path) -> None:
    (run,) = runs_of("fedavg_paper_short", real_data / "mnist")
    bands = bands_of("fedavg_paper_short", run.arm)
    setup = prepare(run.config)
    assert (setup.stop.metric, setup.stop.target) == (ACCURACY, 0.97)
    state, accuracy = initial_state(setup), 0.0
    while accuracy < setup.stop.target and state.round < run.config.rounds:
        state, _ = run_round(state, setup, STAGES)
        if state.round >= 35:
            accuracy = evaluate(state, setup)[ACCURACY]
    assert bands["rounds"] == (40, 87)  # theirs: 87 with the best of their rates; ours 56 with seed 0
    assert 40 <= state.round <= 87
    assert bands[ACCURACY][0] <= accuracy <= bands[ACCURACY][1]


def test_geyer_reaches_the_paper_s_accuracy_at_its_epsilon_with_a_smaller_model(real_data: Path) -> None:
    (run, *_) = runs_of("geyer", real_data / "mnist")
    setup = prepare(run.config)
    assert setup.promise is not None
    assert 7.9 < setup.promise.spent(11).epsilon <= 8
    state = train_rounds(initial_state(setup), setup, 11)
    # Theirs: 0.78. Ours: 0.826 with seed 0, and 0.859 without noise.
    assert 0.78 <= evaluate(state, setup)[ACCURACY] < 0.87
