"""The tutorial runs as it stands on its page: the table, the study, the commands, the model that answers over HTTP."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES = {found[1]: text for _, text in BLOCKS if (found := re.match(r"# ([\w.]+\.(?:py|yaml))\n", text))}
SHELL = [text for language, text in BLOCKS if language == "bash"]


def test_the_page_has_the_blocks_and_the_study_fits_in_ten_lines():
    assert set(FILES) == {"make_clinics.py", "study.yaml", "look.py", "predict.py"}
    assert len(SHELL) == 6
    lines = [line for line in FILES["study.yaml"].splitlines() if not line.startswith("#")]
    assert len(lines) <= 10
    assert yaml.safe_load(FILES["study.yaml"])["name"] == "clinics"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which every block of the page was run in its order, by somebody who has set nothing up; and what the
    blocks of the shell said."""
    here = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        (here / name).write_text(text, encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT", "MLFLOW", "FEDSTUDY", "PYTHON", "VIRTUAL_ENV"))
    }
    path = [each for each in kept["PATH"].split(":") if not (Path(each) / "mlflow").exists()]
    environment = {**kept, "PATH": ":".join(path), "PREFECT_HOME": str(here / "prefect")}
    port, clone = _free_port(), _clone(tmp_path_factory.mktemp("clone"))
    exports, told = "", []
    for block in SHELL:
        block = block.replace("/where/you/cloned/fedstudy", str(clone)).replace("5001", port)
        block = block.replace(f"--port {port} &", f"--port {port} >served.txt 2>&1 &")
        done = subprocess.Popen(
            ["sh", "-ec", exports + block], cwd=here, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            said, errors = done.communicate(timeout=500)
            assert done.returncode == 0, block + said + errors
        finally:
            with suppress(ProcessLookupError):
                os.killpg(done.pid, signal.SIGTERM)  # the server that the page starts in the background
        exports += "".join(line for line in block.splitlines(keepends=True) if line.startswith("export "))
        told.append(said)
    return here, told


def _clone(folder):
    """The project as somebody has it who cloned it, with a `var/` of its own."""
    shutil.copy(ROOT / "fedstudy", folder)
    for room in ("flows", "tasks", "federated", "data_partitioners"):
        (folder / room).symlink_to(ROOT / room)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def _free_port():
    from socket import socket

    with socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return str(bound.getsockname()[1])


@pytest.mark.slow
@pytest.mark.nightly
def test_the_study_answers_for_every_hospital(folder):
    here, (_, _, study, look, _, _) = folder
    assert "Report:" in study
    assert "hospital" in (here / "guessed.yaml").read_text(encoding="utf-8")
    for name in pd.read_csv(here / "clinics.csv")["hospital"].unique():
        assert name in look
    assert "One model for everybody" in look
    assert (here / "curves.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.nightly
def test_what_is_served_is_what_was_trained(folder):
    """Over HTTP comes a probability near that of scikit-learn's logistic regression on all patients."""
    here, (*_, predicted, served) = folder
    assert "probability of yes" in predicted
    answered = json.loads(served)
    (row,) = answered["predictions"]
    assert row["label"] in ("yes", "no")
    table = pd.read_csv(here / "clinics.csv")
    features = table[["age", "visits", "pressure", "smoker"]].astype(float)
    features["pressure"] = features["pressure"].fillna(features["pressure"].median())
    mean, sd = features.mean(), features.std()
    oracle = LogisticRegression().fit((features - mean) / sd, table["readmitted"] == "yes")
    asked = pd.DataFrame([[71, 4, features["pressure"].median(), 1.0]], columns=features.columns)
    expected = oracle.predict_proba((asked - mean) / sd)[0, 1]
    assert row["probability of yes"] == pytest.approx(expected, abs=0.1)
    assert np.isclose(row["probability of yes"] + row["probability of no"], 1)
