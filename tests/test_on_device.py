"""Measurements on a machine with a GPU: what is kept of them, and that all do the same work. Nothing is timed."""

import argparse
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cifar10, plain
from benchmarks.on_device import __main__ as driver
from benchmarks.on_device.graphed import Steps, measure_graphed
from benchmarks.on_device.steps import STEPS, Step
from benchmarks.on_device.table import markdown
from benchmarks.on_device.tests import outcomes
from benchmarks.on_device.training import _conclude
from benchmarks.peers.torch_model import _LAYERS
from benchmarks.work import work_of
from benchmarks.workloads import WORKLOADS
from federated.run.setup import prepare

FOLDER = Path(driver.__file__).parent


def asked(out, **changes):
    given = {
        "out": out,
        "quick": True,
        "device": "cpu",
        "budget": 60.0,
        "data": None,
        "steps": None,
        **changes,
    }
    return argparse.Namespace(**given)


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """Steps that are small programs: what a step is asked, its process does as `made_by` says."""

    def make(**programs):
        def run(command, **options):
            name = command[4]
            code = programs[name].replace("ANSWER", repr(str(tmp_path / f"{name}.json")))
            return subprocess.run([command[0], "-c", code], **options)

        monkeypatch.setattr(driver, "STEPS", [Step(name, "", 30) for name in programs])
        monkeypatch.setattr(driver, "subprocess", argparse.Namespace(
            run=run, STDOUT=subprocess.STDOUT, TimeoutExpired=subprocess.TimeoutExpired
        ))  # fmt: skip

    return make


def test_a_step_that_fails_is_told_and_the_next_one_goes_on(steps, tmp_path):
    steps(
        first="open(ANSWER, 'w').write('{\"a\": 1}'); raise SystemExit('no such kernel')",
        second="open(ANSWER, 'w').write('{\"b\": 2}')",
        third="open(ANSWER, 'w').write('{\"skipped\": \"no GPU\"}')",
    )
    assert driver._run(asked(tmp_path)) == 1
    found = json.loads((tmp_path / "results.json").read_text())["steps"]
    assert (found["first"]["state"], found["first"]["found"]) == ("failed", {"a": 1})
    assert "no such kernel" in found["first"]["end_of_output"]
    assert (found["second"]["state"], found["second"]["found"]) == ("done", {"b": 2})
    assert (found["third"]["state"], found["third"]["why"]) == ("skipped", "no GPU")
    assert "| first | failed |" in (tmp_path / "results.md").read_text()


def test_a_step_is_stopped_at_its_limit_and_what_it_had_found_is_kept(steps, tmp_path, monkeypatch):
    steps(first="import time; open(ANSWER, 'w').write('{\"a\": 1}'); time.sleep(60)")
    monkeypatch.setattr(driver, "_LEAST", 0)
    found = driver._one(Step("first", "", 3), 3.0, asked(tmp_path))
    assert (found["state"], found["found"]) == ("stopped", {"a": 1})
    assert driver._one(Step("first", "", 3), -1.0, asked(tmp_path))["why"] == "no time was left"


def test_every_step_can_be_imported_and_all_fit_into_ten_minutes():
    for step in STEPS:
        assert callable(step.measure())
    assert {"W1", "W2", "W3", "W4", "cifar10", "study", "tests"} <= {step.name for step in STEPS}


def test_the_wheels_are_locked_and_the_script_can_be_read():
    lock = (FOLDER.parents[1] / "requirements.lock").read_text()
    wanted = [line for line in (FOLDER / "packages.txt").read_text().splitlines() if not line.startswith("#")]
    assert wanted
    for name in wanted:
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name
    pinned = [line for line in (FOLDER / "pfl.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in pinned)
    assert pinned[0] == (FOLDER.parent / "peers" / "pfl.txt").read_text().splitlines()[0].replace(
        "[pytorch]", ""
    )
    script = FOLDER.parent / "on_device.sh"
    subprocess.run(["bash", "-n", script], check=True)
    asked_nothing = subprocess.run(["bash", script], capture_output=True, text=True)
    assert (asked_nothing.returncode, asked_nothing.stderr) == (2, "")
    assert "on_device.sh run OUT" in asked_nothing.stdout


def test_ratios_are_of_passes_made_in_turn_and_a_rival_without_passes_has_none():
    answer = {
        "rivals": {
            "fedstudy": {"passes": [{"seconds": 1.0}, {"seconds": 10.0}, {"seconds": 12.0}], "accuracy": 0.5},
            "plain": {"passes": [{"seconds": 3.0}, {"seconds": 30.0}], "accuracy": 0.5},
            "other": {"passes": [], "failure": "no | kernel"},
        }
    }
    _conclude(answer)
    assert answer["rivals"]["plain"]["times_fedstudy"] == 3.0
    assert answer["rivals"]["fedstudy"]["times_fedstudy"] == 1.0
    shown = markdown({"quick": False, "device": "cuda", "steps": {"W1": {"state": "done", "found": answer}}})
    assert "| W1 | plain | 16.5000 | 3.00 | 10.00 | 0.5000 |" in shown
    assert "| W1 | other | no / kernel |" in shown


def test_what_became_of_tests_is_read_from_what_pytest_says():
    said = "tests/test_a.py::one PASSED [ 50%]\ntests/test_a.py::two[x y] FAILED [100%]\nE  wrong\n"
    found = outcomes(said)
    assert (found["counts"], found["failed"]) == ({"passed": 1, "failed": 1}, ["tests/test_a.py::two[x y]"])
    assert "wrong" in found["end_of_output"]
    assert "end_of_output" in outcomes("ImportError: nothing ran")


def test_the_graphed_loop_takes_the_steps_of_the_plain_one(monkeypatch, tmp_path):
    """Momentum, batches of two sizes, clients of several; the recording itself needs a GPU."""
    monkeypatch.setattr("benchmarks.data.TRAINING", 300)
    monkeypatch.setattr("benchmarks.data.TEST", 20)
    local = {"epochs": 1, "batch_size": 16, "learning_rate": 0.01, "momentum": 0.9}
    config = replace(WORKLOADS["W1"], training=300).config(
        tmp_path, 2, clients=8, cohort={"size": 3}, local=local
    )
    work = work_of(prepare(config))
    kept = []
    monkeypatch.setattr(
        "benchmarks.on_device.graphed.accuracy", lambda module, work: kept.append(module) or 0.5
    )
    assert len(measure_graphed(work, "cpu", record=False).round_seconds) == 2
    module, _ = plain.train(work, threads=1)
    for ours, theirs in zip(kept[0].parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_client_begins_with_what_it_received_and_without_momentum(tmp_path):
    work = argparse.Namespace(module=torch.nn.Linear(3, 2), learning_rate=0.1, momentum=0.9)
    steps = Steps(work, "cpu", record=False)
    first = [each.clone() for each in steps.parameters()]
    inputs, targets = torch.ones(4, 3), torch.tensor([0, 1, 0, 0])
    ends = []
    for _ in range(2):
        steps.begin(first)
        steps.take(inputs, targets)
        steps.take(inputs, targets)
        ends.append(torch.cat([each.reshape(-1).clone() for each in steps.parameters()]))
    assert torch.equal(ends[0], ends[1])


def test_cifar10_is_read_from_its_binary_files_or_made_up(tmp_path):
    random = cifar10.cifar10(tmp_path, 30)
    assert (random.source, random.inputs.shape, int(random.test.sum())) == ("random", (60, 3, 32, 32), 30)
    for at, name in enumerate(cifar10._FILES):
        records = np.full((10, cifar10._RECORD), at, np.uint8)
        records[:, 0] = np.arange(10)
        records.tofile(tmp_path / name)
    read = cifar10.cifar10(tmp_path, 20)
    assert read.targets.tolist() == [*range(10)] * 6
    assert read.inputs[::10, 0, 0, 0].tolist() == [*range(6)]
    assert read.test.tolist() == [False] * 20 + [True] * 40


def test_the_model_of_pfl_research_is_the_same_for_everybody():
    ours = cifar10.two_convolutions(cifar10.SHAPE, cifar10.CLASSES)
    theirs = _LAYERS[cifar10.CIFAR10.settings["model"]]()
    shapes = [
        {name: tuple(value.shape) for name, value in each.state_dict().items()} for each in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    assert sum(each.numel() for each in ours.parameters()) == 1_626_442
