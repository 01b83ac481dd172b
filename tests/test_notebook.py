"""Studies from Python: the first call on an empty home, frames against the bare loop, pictures, interrupts, errors."""

import asyncio
import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from federated.evaluation.evaluate import evaluate
from federated.foundation.errors import BadInput
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from flows.notebook import Outcome, Picture, read, run, studies

ROOT = Path(__file__).parents[1]

STUDY = """
name: from python
base:
  dataset: digits
  model: logistic
  clients: 5
  holdout: {client: 0.2}
  rounds: 9
  evaluation: {every: 2}
axes:
  partitioner: [iid, dirichlet(0.3)]
"""

SCRIPT = """
import asyncio
import json
import prefect  # before any setting of ours
from flows.notebook import compare, read, run

async def notebook():  # Jupyter runs cells within a running loop
    return run(read("study.yaml", {"rounds": 4}))

outcome = asyncio.run(notebook())
again = compare("from python", baseline="dirichlet(alpha=0.3)")
frames = {"runs": outcome.runs, "arms": outcome.arms, "clients": outcome.clients, "verdicts": outcome.verdicts,
          "again": again.verdicts, "curves": outcome.curves(), "drawn": outcome.curves("train/loss")}
for name, frame in frames.items():
    frame.to_pickle(f"{name}.pkl")
for title, picture in outcome.pictures.items():
    picture.save(f"{title}.png")
told = {"verdict": outcome.verdict, "report": str(outcome.report)}
with open("told.json", "w") as file:
    json.dump(told, file)
"""


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """The folder in which the script ran, from an empty home, in a folder that is not the project's."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW", "FED"))
    }
    own = {
        "PYTHONPATH": str(ROOT),
        "FEDSTUDY_HOME": str(folder / "home"),
        "PREFECT_HOME": str(folder / "prefect"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env={**kept, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done 2/2" in done.stdout
    return folder


@pytest.fixture
def told(called):
    return json.loads((called / "told.json").read_text(encoding="utf-8"))


def _bare(arm):
    """(setup, metrics) of the arm's run by the bare loop, without flows."""
    runs = read_in(STUDY)
    config = next(each.config for each in runs if each.arm == arm)
    setup = prepare(config)
    return setup, evaluate(train_rounds(initial_state(setup), setup, 4), setup)


def read_in(text):
    import yaml

    from federated.study.study import StudyConfig

    content = yaml.safe_load(text)
    content["base"]["rounds"] = 4
    return StudyConfig.model_validate(content).runs()


ARMS = ("iid", "dirichlet(alpha=0.3)")


@pytest.mark.slow
@pytest.mark.nightly
def test_the_first_call_gives_the_numbers_of_the_bare_loop(called):
    frame = pd.read_pickle(called / "runs.pkl").set_index("arm")
    assert list(frame.index) == list(ARMS)
    assert set(frame["status"]) == {"FINISHED"}
    assert list(frame["partitioner"]) == list(ARMS)
    for arm in ARMS:
        for name, value in _bare(arm)[1].items():
            assert frame.loc[arm, name] == value, name


@pytest.mark.slow
@pytest.mark.nightly
def test_clients_curves_and_verdicts_are_those_of_the_runs(called):
    clients, drawn = (pd.read_pickle(called / f"{name}.pkl") for name in ("clients", "drawn"))
    runs = pd.read_pickle(called / "runs.pkl").set_index("arm")["generalisation/test_accuracy"]
    for arm in ARMS:
        setup, metrics = _bare(arm)
        own = clients[clients["arm"] == arm]
        sizes = np.array([len(each) for each in setup.federation.own_held_out])
        assert list(own["held_out_examples"]) == list(sizes)
        pooled = np.average(own["accuracy"].astype(float), weights=sizes)
        assert list(drawn[drawn["arm"] == arm]["round"]) == [1, 2, 3, 4]
        assert pooled == pytest.approx(metrics["generalisation/client_accuracy"], abs=1e-9)
    difference = runs[ARMS[1]] - runs[ARMS[0]]
    (row,) = pd.read_pickle(called / "verdicts.pkl").to_dict("records")
    assert (row["arm"], row["baseline"], row["difference"]) == (*ARMS[::-1], pytest.approx(difference))
    (turned,) = pd.read_pickle(called / "again.pkl").to_dict("records")
    assert (turned["arm"], turned["difference"]) == (ARMS[0], pytest.approx(-difference))
    curves = pd.read_pickle(called / "curves.pkl")
    at_end = curves[curves["round"] == 4].set_index("arm")["generalisation/test_accuracy"]
    assert dict(at_end) == dict(runs)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_reports_pictures_are_pictures(called, told):
    assert Path(told["report"]).is_relative_to(called / "home" / "reports")
    found = sorted(path.stem for path in called.glob("*.png"))
    assert {"Every run", "Learning curves"} <= set(found)
    for name in found:
        width, height = Image.open(called / f"{name}.png").size
        assert min(width, height) > 100


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.nightly
def test_an_interrupt_ends_the_study_as_in_the_shell_and_says_how_to_go_on(home, tmp_path, monkeypatch):
    from flows import federated_run
    from flows.prefect_runtime.prefect_away import Api
    from flows.study_run import run_study
    from flows.terminal.screen import console
    from tasks.tracking.reading.search import all_below, newest_study

    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    study = read(tmp_path / "study.yaml", {"rounds": 4}, arms=["iid"])
    tell = federated_run.tell

    def interrupted(news):
        tell(news)
        if news.round == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(federated_run, "tell", interrupted)
    api = Api("", lambda: None, str)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_study(study, api, 1, False, console(), "`run(..., resume=True)`")
    assert caught.value.__notes__ == [
        "`run(..., resume=True)` goes on from the checkpoints of the unfinished runs"
    ]
    parent = newest_study("from python")
    killed = [each.info.status for each in (parent, *all_below(parent.info.run_id))]
    assert killed == ["KILLED", "KILLED"]
    monkeypatch.setattr(federated_run, "tell", tell)
    outcome, failure = run_study(study, api, 1, True, console(), "")
    assert (failure, [run.resumed_from for run in outcome.results]) == ("", [2])
    (shown,) = Outcome(outcome).runs.to_dict("records")
    metrics = _bare("iid")[1]
    assert shown["generalisation/test_accuracy"] == metrics["generalisation/test_accuracy"]


def test_a_picture_is_what_a_notebook_shows(tmp_path):
    made = BytesIO()
    Image.new("RGB", (3, 2)).save(made, "PNG")
    picture = Picture("A title", made.getvalue())
    assert Image.open(BytesIO(picture._repr_png_())).size == (3, 2)
    assert Image.open(picture.save(tmp_path / "a.png")).size == (3, 2)


def test_without_a_home_of_ones_own_results_go_where_the_command_puts_them(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDSTUDY_HOME", raising=False)
    monkeypatch.setattr(studies, "_PROJECT", tmp_path)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    with pytest.raises(BadInput):
        read("nowhere.yaml")
    assert os.environ["FEDSTUDY_HOME"] == str(tmp_path / "var")
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "other"))
    with pytest.raises(BadInput):
        read("nowhere.yaml")  # a home that changes takes Prefect's database with it
    assert str(tmp_path / "other") in os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"]


def test_settings_of_python_and_numpy_are_those_of_the_command_line(home, tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    changes = {"rounds": np.int64(3), "local.learning_rate": np.float64(0.25), "model": "mlp(hidden=[4])"}
    study = read(tmp_path / "study.yaml", changes, seeds=range(2), arms=["iid"])
    assert [(each.arm, each.config.seed) for each in study.runs()] == [("iid", 0), ("iid", 1)]
    config = study.runs()[0].config
    assert (config.rounds, config.local.learning_rate, config.model.label()) == (3, 0.25, "mlp(hidden=[4])")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"local.learning": 1}, "local.learning"),
        ({"rounds": 0}, "rounds"),
        ({"seeds": [1]}, "state --seeds"),
    ],
)
def test_bad_input_is_one_message_without_a_traceback(home, tmp_path, settings, message):
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path / "study.yaml", settings)
    (shown,) = caught.value._render_traceback_()
    assert shown == f"BadInput: {caught.value}"


def test_a_study_that_is_not_there_is_refused_before_prefect_is_asked_for_anything(home):
    async def cell():
        with pytest.raises(BadInput, match="nowhere"):
            run("nowhere.yaml")

    asyncio.run(cell())


def test_the_names_are_few():
    import flows.notebook

    assert sorted(flows.notebook.__all__) == [
        "Outcome",
        "OutcomeWaits",
        "Picture",
        "RunsFailed",
        "compare",
        "preview",
        "read",
        "run",
    ]
    assert Outcome.__doc__
