"""Five data sets of five kinds: their page's lines write them, its studies of ten lines read, train and score them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score

from federated.evaluation.evaluate import evaluate
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.study.study import read_study

PAGE = Path(__file__).parents[1] / "docs" / "five-data-sets.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
STUDIES = {re.search(r"name: (\w+)", text)[1]: text for language, text in BLOCKS if language == "yaml"}
HELD = {  # examples, clients, as pandas and `ls` count them
    "adult": (48_827, 14),
    "reviews": (7_853, 4),
    "photos": (2_000, 5),
    "activity": (3_850, 23),
    "rare": (38_295, 14),
}


def test_there_are_five_and_none_has_more_than_ten_lines():
    assert set(STUDIES) == set(HELD)
    assert max(len(text.splitlines()) for text in STUDIES.values()) <= 10


@pytest.fixture(scope="module")
def written(real_data, tmp_path_factory):
    """A folder with the data as the page's lines write them, and the studies."""
    folder = tmp_path_factory.mktemp("five")
    code = "\n".join(text for language, text in BLOCKS if language == "python")
    (folder / "write_data.py").write_text(code, encoding="utf-8")
    command = [sys.executable, str(folder / "write_data.py"), str(real_data), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, text in STUDIES.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "adult" else pytest.param(name, marks=pytest.mark.nightly) for name in STUDIES]
)
def test_each_is_read_whole_and_scored_as_scikit_learn_does(written, home, name):
    runs = read_study(written / f"{name}.yaml", ["rounds=2"]).runs()
    assert len(runs) == 9  # an arm and two anchors, three seeds
    setup = prepare(runs[0].config)
    federation = setup.federation
    assert (len(federation.examples.targets), len(federation.names)) == HELD[name]
    state = train_rounds(initial_state(setup), setup, 2)
    metrics = evaluate(state, setup)
    outputs, targets = _outputs(setup, state, federation.test)
    if name == "activity":
        _is_later(written, federation)
    if name == "rare":
        expected = roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])
        logged = metrics["generalisation/test_auroc"]
        assert abs(targets.mean() - 0.03) < 0.003
    else:
        expected, logged = accuracy_score(targets, outputs.argmax(1)), metrics["generalisation/test_accuracy"]
    assert logged == pytest.approx(expected, abs=1e-6)


def _outputs(setup, state, chosen):
    examples = setup.federation.examples
    inputs = torch.from_numpy(np.ascontiguousarray(examples.inputs[chosen]))
    inputs = inputs / 255 if inputs.dtype == torch.uint8 else inputs
    with torch.inference_mode():
        outputs = setup.model.independent_module(state.parameters)(inputs).numpy()
    return outputs, examples.targets[chosen]


def _is_later(written, federation):
    """Each person's test examples come after all of the person's others."""
    table = pd.read_csv(written / "activity.csv")
    where = np.full(len(table), "training", object)
    where[federation.test] = "test"
    for own in federation.own_held_out:
        where[own] = "own"
    ends = table.groupby([table["subject"], where])["started"].agg(["min", "max"]).unstack()
    assert (ends["max", "training"] <= ends["min", "own"]).all()
    assert (ends["max", "own"] <= ends["min", "test"]).all()
