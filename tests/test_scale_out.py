"""Rounds whose clients processes of Ray train: the numbers of one process, also where processes end meanwhile."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from federated.config.run import RunConfig
from federated.foundation.errors import Diverged, OwnCodeFailed
from federated.rounds import STAGES, Stages, run_round, train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import read_study
from tests.test_shards import CONTENT, RUNS, bits

if importlib.util.find_spec("ray") is None:  # not imported here: it reads its settings as it is
    pytest.skip("the extra `make ray` is not installed", allow_module_level=True)

from tasks.scale_out.cluster import connect, disconnect
from tasks.scale_out.crew import Crew, TrainersLost
from tasks.scale_out.stages import stages_of
from tasks.scale_out.trainer import that_travels

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SCALED = {"engine": {"name": "loop", "scale_out": "ray", "workers": 2}}
MORE: dict[str, dict[str, Any]] = {
    **RUNS,
    "noise of the clients": {
        "privacy": "local_gaussian(0.5, 1)",
        "cohort": {"size": 5, "weighting": "uniform"},
    },
    "one sum": {"transport": "secure_aggregation(clip=0.5)"},
    "numbers beside updates": {"algorithm": "fednova"},
    "alone": {"training": "local"},
    "together": {"training": "centralised"},
    "vectorised": {"engine": {"scale_out": "ray", "workers": 2}},
}


def setup_of(what: str, **changes: Any) -> Setup:
    return prepare(RunConfig.model_validate({**CONTENT, **SCALED, **MORE[what], **changes}))


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTUDY_HOME", str(tmp_path_factory.mktemp("home")))
        crew = Crew(connect("local"), 2, {"num_cpus": 0})
        try:
            yield crew
        finally:
            crew.dismiss()
            disconnect()


@contextmanager
def begun(crew: Crew, setup: Setup) -> Iterator[tuple[Stages, list[str]]]:
    """The stages of a run, and the sentences that a user would see."""
    said = list[str]()
    crew.begin(setup.config, that_travels(setup.federation), said.append)
    try:
        yield stages_of(crew), said
    finally:
        crew.end()


def rounds(setup: Setup, stages: Stages, number: int = 2) -> tuple[RunState, list[Any]]:
    state, reports = initial_state(setup), []
    for _ in range(number):
        state, report = run_round(state, setup, stages)
        reports.append([report.loss, report.communication, report.drift, report.update_norm])
    return state, reports


@pytest.mark.parametrize("what", MORE)
def test_the_same_bits_as_in_one_process(what: str, crew: Crew) -> None:
    setup = setup_of(what)
    assert setup.shard_size == (1 if what == "together" else -(-setup.trainers.cohort_size // 2))
    with begun(crew, setup) as (stages, said):
        there, reports = rounds(setup, stages)
    here, expected = rounds(setup, STAGES)
    assert bits(there) == bits(here)
    assert reports == expected
    assert not said


def test_other_shards_differ_by_rounding_alone(crew: Crew) -> None:
    scaled = setup_of("plain")
    alone = prepare(RunConfig.model_validate(CONTENT))
    assert scaled.config.run_key() == alone.config.run_key()
    assert scaled.shard_size < alone.shard_size
    with begun(crew, scaled) as (stages, _):
        there, _ = rounds(scaled, stages)
    here, _ = rounds(alone, STAGES)
    torch.testing.assert_close(there.parameters, here.parameters, rtol=1e-6, atol=1e-7)


OWN = """
import os
import signal

import torch

from federated.algorithms import Algorithm, ClientHalf


def deadly(flag: str, dies: bool = True):
    def finish(state, own, trained):
        if state["done"] >= 2 and os.path.exists(flag):
            if not dies:
                raise KeyError("no such thing")
            try:
                os.unlink(flag)
            except FileNotFoundError:
                pass  # the other trainer was sooner, and dies for both
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return {"last": own["last"] + trained.deltas}, {}

    return Algorithm(
        init=lambda parameters: {"done": torch.zeros(1)},
        update=lambda state, parameters, heard: ({"done": state["done"] + 1}, parameters + heard.update),
        client=ClientHalf(init=lambda clients, size: {"last": torch.zeros(clients, size)}, finish=finish),
    )
"""
STUDY = """
name: own
base:
  dataset: digits
  model: mlp(hidden=[8])
  clients: 6
  cohort: {{size: 5}}
  rounds: 3
  local: {{batch_size: 16, learning_rate: 0.1}}
  engine: {{scale_out: ray, workers: 2}}
  algorithm: {{name: "own:deadly", flag: "{flag}", dies: {dies}}}
"""


def own_setup(folder: Path, *, dies: bool) -> tuple[Setup, Path]:
    """A run with an algorithm of a person's own, whose third round ends its process, or fails, while a file is there.

    Not the first, whose steps are tried before a run starts.
    """
    flag = folder / "flag"
    folder.joinpath("own.py").write_text(OWN)
    folder.joinpath("study.yaml").write_text(STUDY.format(flag=flag, dies=dies))
    (run,) = read_study(folder / "study.yaml").runs()
    return prepare(run.config), flag


def _call_on(ray: Any, trainer: Any) -> None:
    """Call a trainer until it has ended, which is some time after `kill` returns."""
    for _ in range(10_000):
        ray.get(trainer.end.remote())


@pytest.mark.nightly
def test_trainers_that_are_lost_are_replaced_and_nothing_is_lost_with_them(
    crew: Crew, tmp_path: Path
) -> None:
    """One between two rounds, and one in the middle of a round, with what its clients then remember."""
    setup, flag = own_setup(tmp_path, dies=True)
    expected, reports = rounds(setup, STAGES, 3)
    with begun(crew, setup) as (stages, said):
        state, _ = run_round(initial_state(setup), setup, stages)
        ray, killed = connect("local"), crew.trainers[0]
        ray.kill(killed)
        with pytest.raises(ray.exceptions.RayActorError):
            _call_on(ray, killed)
        flag.touch()
        for _ in range(2):
            state, last = run_round(state, setup, stages)
    assert not flag.exists(), "no trainer was killed in a round"
    assert bits(state) == bits(expected)
    assert last.loss == reports[2][0]
    assert [sentence.partition(", with ")[0] for sentence in said] == [
        "a process of Ray ended in round 2",
        "a process of Ray ended in round 3",
    ]
    assert all("another takes its place" in sentence for sentence in said)


def test_work_that_ends_its_processes_ends_the_run_with_the_reason(crew: Crew, tmp_path: Path) -> None:
    setup, flag = own_setup(tmp_path, dies=True)
    flag.touch()
    alone = Crew(connect("local"), 1, {"num_cpus": 0}, tries=1)
    why = r"^1 process of Ray ended in round 3, with [23] clients: The actor is dead because "
    with begun(alone, setup) as (stages, _), pytest.raises(TrainersLost, match=why):
        rounds(setup, stages, 3)
    alone.dismiss()


def test_an_error_of_own_code_is_the_same_line_as_in_one_process(crew: Crew, tmp_path: Path) -> None:
    setup, flag = own_setup(tmp_path, dies=False)
    flag.touch()
    lines = []
    with begun(crew, setup) as (stages, _):
        for each in (STAGES, stages):
            with pytest.raises(OwnCodeFailed) as failed:
                train_rounds(initial_state(setup), setup, 3, each)
            lines.append(str(failed.value))
    assert lines[0] == lines[1]
    assert (
        lines[0] == "algorithm: own:deadly: client.finish fails: KeyError: 'no such thing' (own.py, line 14)"
    )


def test_divergence_is_the_same_line_as_in_one_process(crew: Crew) -> None:
    setup = setup_of("plain", local={"batch_size": 16, "learning_rate": 1e30})
    lines = []
    with begun(crew, setup) as (stages, _):
        for each in (STAGES, stages):
            with pytest.raises(Diverged) as failed:
                train_rounds(initial_state(setup), setup, 3, each)
            lines.append(str(failed.value))
    assert lines[0] == lines[1]
