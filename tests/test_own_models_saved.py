"""A person's own model in MLflow: loaded in a fresh process without the person's folder, it predicts the same."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import yaml

from federated.models.objective import model_inputs
from federated.run.setup import initial_state, prepare
from federated.study.study import read_study
from tasks.tracking.delivery.sending import settle
from tasks.tracking.runs import runs as tracking
from tasks.tracking.runs.model import log_model
from tasks.tracking.server.store import connect

FILES = {
    "plain.py": """
from torch import nn
class Net(nn.Module):
    def __init__(self, shape, outputs, width: int = 5):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Tanh(), nn.Linear(width, outputs))
    def forward(self, x):
        return self.body(x)
""",
    "wilful.py": """
from torch import nn
class Net(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
    def forward(self, x):
        found = self.body(x)
        return found if found.sum().item() > 1e9 else 2 * found
""",
    "several.py": """
import blocks
from blocks import SCALE, Scaled
from deeper.parts import halved
from torch import nn
class Net(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.body = Scaled(outputs)
    def forward(self, x):
        return halved(self.body(x)) if x.sum().item() < 1e9 else blocks.squared(x) * SCALE
def make(shape, outputs):
    return nn.Sequential(nn.Identity(), Net(shape, outputs))
""",
    "blocks.py": """
from torch import nn
SCALE = 3.0
def squared(x):
    return x * x
class Scaled(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
    def forward(self, x):
        return squared(self.body(x)) * SCALE
""",
    "deeper/__init__.py": "",
    "deeper/parts.py": "from .numbers import HALF\ndef halved(x):\n    return x * HALF\n",
    "deeper/numbers.py": "HALF = 0.5\n",
}
MODELS = {  # -> how it is saved; what cannot be exported decides by its data
    "plain:Net(width=6)": "pt2",
    "wilful:Net": "pickle",
    "several:Net": "pickle",
    "several:make": "pickle",
}
LOADS = """
import json, sys
import mlflow, numpy as np
inputs = np.load(sys.argv[1])
for folder in sys.argv[2:]:
    print(json.dumps(mlflow.pyfunc.load_model(folder).predict(inputs).iloc[:, 2:].to_numpy().tolist()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "study" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "study"


@pytest.mark.usefixtures("used_home")
@pytest.mark.slow
@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param(False, id="beside the study"),
        pytest.param(True, id="allowed by name", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.nightly
def test_a_logged_model_needs_nothing_of_the_persons_folder(
    folder: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    where = folder
    if allowed:
        monkeypatch.setenv("FEDSTUDY_OWN_CODE", "plain,wilful,several,blocks,deeper")
        monkeypatch.syspath_prepend(str(folder))
        where = tmp_path
    base = {"dataset": "digits", "model": "logistic", "clients": 3, "rounds": 1}
    file = where / "study.yaml"
    file.write_text(
        yaml.safe_dump({"name": "saved", "base": base, "arms": [{"name": m, "model": m} for m in MODELS]})
    )
    study = read_study(file)
    parent, saved, expected = tracking.open_study(study), [], []
    for run, how in zip(study.runs(), MODELS.values(), strict=True):
        setup = prepare(run.config)
        run_id = tracking.open_run(run, study.name, parent)
        state = initial_state(setup)
        assert log_model(run_id, state, setup) == how
        inputs = setup.inputs[:5].cpu()
        module = setup.model.independent_module(state.parameters)
        with torch.inference_mode():
            expected.append(module(model_inputs(inputs)).softmax(dim=1).numpy())
        saved.append(run_id)
    assert settle()
    copies = [
        mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path="model", dst_path=str(tmp_path / run_id), tracking_uri=_address()
        )
        for run_id in saved
    ]
    np.save(tmp_path / "inputs.npy", inputs.numpy())
    folder.rename(tmp_path / "moved away")
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADS, str(tmp_path / "inputs.npy"), *copies],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [np.array(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(found) == len(MODELS)
    for predictions, outputs in zip(found, expected, strict=True):
        assert predictions == pytest.approx(outputs, rel=1e-5, abs=1e-6)


def _address() -> str:
    connect()
    return mlflow.get_tracking_uri()
