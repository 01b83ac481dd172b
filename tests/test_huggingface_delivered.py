"""A pretrained text model from the folder to the server: adapted, killed, resumed, exported, and asked over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from federated.config.run import RunConfig
from federated.evaluation.outputs import Outputs
from federated.preprocessing.predictor import Predictor
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from tasks.checkpoints import checkpoint_path, first_course
from tasks.tracking.models.folder import write_model
from tests.test_pretrained_folders import bert, content_of, roberta, texts
from tests.test_serving import answer

KILLED = """
import os, signal, sys
from pathlib import Path
from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from tasks.checkpoints import save_checkpoint

setup = prepare(RunConfig.model_validate_json(Path(sys.argv[1]).read_text()))
state = train_rounds(initial_state(setup), setup, 2)
save_checkpoint(Course(state), setup)
train_rounds(state, setup, 3)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _rows(file: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in file.read_text().splitlines()[1:]]


def _evaluated(setup: Setup, state: RunState) -> torch.Tensor:
    """The outputs of all examples, as evaluation has them."""
    return Outputs(setup).of(state.parameters, np.arange(len(setup.inputs)))


@pytest.mark.parametrize("make", [bert, roberta])
def test_the_logged_model_has_the_outputs_of_evaluation_for_texts_of_any_length(make, tmp_path):
    file = texts(tmp_path / "texts.csv")
    setup = prepare(RunConfig.model_validate(content_of(file, make(tmp_path / "pretrained"))))
    state = initial_state(setup)
    saved = write_model(
        tmp_path / "model", (make,), setup.model, state.parameters, setup.federation.examples, setup.readout
    )
    parts = tmp_path / "model" / "artifacts" / "model"
    predictor, expected = Predictor(parts), _evaluated(setup, state)
    torch.testing.assert_close(predictor.outputs(_rows(file)), expected, rtol=1e-4, atol=1e-5)
    for at in (0, 7, 8):  # alone, and so of other lengths
        found = predictor.outputs(_rows(file)[at : at + 1])
        torch.testing.assert_close(found, expected[at : at + 1], rtol=1e-4, atol=1e-5)
    assert saved.how == "pt2"
    assert json.loads((parts / "padding.json").read_text()) == {bert: 0, roberta: 1}[make]
    needs = (tmp_path / "model" / "requirements.txt").read_text()
    assert "transformers" not in needs
    assert ("tokenizers==" in needs) is (make is roberta)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_killed_training_goes_on_and_its_model_answers_texts_over_http(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "var"))
    file, pretrained = texts(tmp_path / "texts.csv"), bert(tmp_path / "pretrained")
    stated = content_of(file, pretrained) | {
        "clients": 2,
        "rounds": 4,
        "trained": {"name": "lora", "rank": 2},
    }
    config = RunConfig.model_validate(stated)
    (tmp_path / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "config.json")],
        cwd=Path(__file__).parents[1],
        env=dict(os.environ),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint_path(config).is_file()

    setup = prepare(config)
    said: list[str] = []
    course = first_course(setup, True, said.append)
    assert (course.round, said) == (2, [])
    state = train_rounds(course.state, setup, 4)
    assert torch.equal(state.parameters, train_rounds(initial_state(setup), setup, 4).parameters)
    assert (state.parameters - setup.initial_parameters).abs().max() > 1e-3

    arguments = setup.whole_model, state.parameters, setup.federation.examples, setup.readout
    assert write_model(tmp_path / "model", ("served",), *arguments).how == "pt2"
    rows = _rows(file)[:9]
    found = answer(
        tmp_path / "model", {"dataframe_split": {"columns": ["text"], "data": [[row] for row in rows]}}
    )
    shares = torch.softmax(_evaluated(setup, state)[:9], dim=1)
    classes = setup.federation.examples.classes
    assert [row["label"] for row in found["predictions"]] == [classes[at] for at in shares.argmax(1)]
    frame = pd.DataFrame(found["predictions"])[[f"probability of {name}" for name in classes]]
    np.testing.assert_allclose(frame.to_numpy(), shares.numpy(), atol=1e-5)
