"""The tutorial runs as it stands on its page: the table, the study, the commands, the model that answers over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
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
    assert len(SHELL) == 2
    lines = [line for line in FILES["study.yaml"].splitlines() if not line.startswith("#")]
    assert len(lines) <= 10
    assert yaml.safe_load(FILES["study.yaml"])["name"] == "clinics"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which every block of the page was run, in its order."""
    here = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        (here / name).write_text(text, encoding="utf-8")
    called = here / "bin"
    called.mkdir()
    (called / "fedstudy").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -P -m flows "$@"\n', encoding="utf-8"
    )
    (called / "fedstudy").chmod(0o755)
    own = {
        "PYTHONPATH": str(ROOT),
        "FEDSTUDY_HOME": str(here / "home"),
        "PREFECT_HOME": str(here / "prefect"),
        "PATH": f"{called}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW", "FEDSTUDY"))}
    told = {}

    def run(name, command):
        done = subprocess.Popen(
            command, cwd=here, env={**kept, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        said, errors = done.communicate(timeout=500)
        assert done.returncode == 0, said + errors
        told[name] = said
        return done.pid

    run("make", [sys.executable, "make_clinics.py"])
    run("study", ["sh", "-ec", SHELL[0].replace("./fedstudy", "fedstudy")])
    run("look", [sys.executable, "look.py"])
    run("predict", [sys.executable, "predict.py"])
    serving = (
        SHELL[1].replace("--port 5001 &", "--port 5001 >served.txt 2>&1 &").replace("5001", _free_port())
    )
    group = run("served", ["sh", "-ec", serving])
    os.killpg(group, signal.SIGTERM)  # the server that the page starts in the background
    return here, told


def _free_port():
    from socket import socket

    with socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return str(bound.getsockname()[1])


@pytest.mark.slow
def test_the_study_answers_for_every_hospital(folder):
    here, told = folder
    assert "Report:" in told["study"]
    assert "hospital" in (here / "guessed.yaml").read_text(encoding="utf-8")
    for name in pd.read_csv(here / "clinics.csv")["hospital"].unique():
        assert name in told["look"]
    assert "One model for everybody" in told["look"]
    assert (here / "curves.png").stat().st_size > 1000


@pytest.mark.slow
def test_what_is_served_is_what_was_trained(folder):
    """Over HTTP comes a probability near that of scikit-learn's logistic regression on all patients."""
    here, told = folder
    answered = json.loads(told["served"])
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
