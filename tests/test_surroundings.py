"""What a person's environment does to Python and to libraries does not reach our files, checks and output."""

import codecs
import importlib
import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry
from sqlalchemy import text

import flows
from federated.machine.folders import database_url
from flows.startup.interpreter import nearest, settled
from flows.startup.search_path import without_working_folder
from flows.startup.telemetry import SWITCHED_OFF
from flows.terminal.progress_channel import progress_channel
from tests.conftest import with_databases

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"PYTHONOPTIMIZE": "2"}, {}),
        ({"PYTHONOPTIMIZE": "0"}, {"PYTHONOPTIMIZE": "0"}),
        ({"PYTHONWARNINGS": "error"}, {}),
        ({"PYTHONWARNINGS": "ignore, error::DeprecationWarning"}, {}),
        ({"PYTHONWARNINGS": "default"}, {"PYTHONWARNINGS": "default"}),
        ({"PYTHONPATH": "/mine", "PYTHONOPTIMIZE": "1"}, {"PYTHONPATH": "/mine"}),
    ],
)
def test_settings_under_which_libraries_fail_are_taken_back_and_others_stay(before, after):
    assert settled(before, "utf-8", True) == after


@pytest.mark.parametrize(
    ("before", "terminal"),
    [({"PYTHONUTF8": "0"}, "iso8859-9"), ({"PYTHONIOENCODING": "ascii"}, "ascii"), ({}, "ascii")],
)
def test_names_and_texts_are_utf8_whatever_the_terminal_shows(before, terminal):
    after = settled(before, terminal, False)
    assert (after["PYTHONUTF8"], after["PYTHONIOENCODING"]) == ("1", terminal)
    assert settled(after, terminal, True) == after


@pytest.mark.parametrize(
    ("encoding", "said", "shown"),
    [
        ("ascii", "iid · none, −0.5 ± 0.1…", "iid * none, -0.5 +- 0.1..."),
        ("ascii", "Universität Łódź 日本", "Universitat ?odz ??"),
        ("latin-1", "Zürich → 日", "Zürich -> ?"),
        ("utf-8", "a name of bytes: \udcff", "a name of bytes: ?"),
    ],
)
def test_what_a_terminal_cannot_show_is_shown_as_what_is_nearest(encoding, said, shown):
    codecs.register_error("nearest in a test", nearest)
    assert said.encode(encoding, "nearest in a test").decode(encoding) == shown


@pytest.mark.parametrize(
    "name",
    ["a b", "what?", "really??x=1&mode=memory", "#1", "100%41", "a:b;c@d", "é 日本 'quoted\"", "x" * 200],
)
def test_a_database_lies_at_home_whatever_home_is_called(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    engine = create_sqlalchemy_engine_with_retry(database_url("some.db"))  # as MLflow makes it
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (value INTEGER)"))
        connection.execute(text("INSERT INTO kept VALUES (7)"))
    engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with sqlite3.connect(tmp_path / name / "some.db") as directly:
        assert directly.execute("SELECT value FROM kept").fetchall() == [(7,)]
    directly.close()


def test_a_line_of_news_needs_no_short_temporary_folder(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 150)
    long.mkdir()
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: str(long))
    with progress_channel() as address:
        assert address[0] == "127.0.0.1"


HOSTILE = {
    "LC_ALL": "C",
    "LANG": "tr_TR",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "COLUMNS": "7",
    "MLFLOW_RUN_ID": "0" * 32,
    "MLFLOW_EXPERIMENT_NAME": "of somebody else",
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
}


@pytest.mark.slow
@pytest.mark.nightly
def test_a_study_runs_in_surroundings_where_everything_is_against_it(tmp_path):
    """Locale, optimiser, warnings, umask, shadowed modules, a long TMPDIR, no HOME to write in, a home of odd name."""
    study = tmp_path / "étude #1? 100%.yaml"
    study.write_text(
        "name: étude 日本\nbase: {dataset: digits, model: logistic, clients: 4, rounds: 2}\nseeds: [0, 1]\n",
        encoding="utf-8",
    )
    shadows, temporary, home = tmp_path / "shadows", tmp_path / ("t" * 120), tmp_path / "home é? #1 %41"
    for folder in (shadows, temporary):
        folder.mkdir()
    for name in ("flows", "tasks", "federated", "data_partitioners"):
        (shadows / f"{name}.py").write_text(
            "raise SystemExit('a module of somebody else')\n", encoding="utf-8"
        )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    folders = {"PYTHONPATH": shadows, "TMPDIR": temporary, "FEDSTUDY_HOME": home, "HOME": "/dev/null/none"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", str(study), "--workers", "2"],
        cwd=ROOT,
        env={**kept, **HOSTILE, **{name: str(path) for name, path in folders.items()}},
        capture_output=True,
        check=False,
        umask=0o777,
    )
    shown = done.stdout.decode("ascii"), done.stderr.decode("ascii")
    assert done.returncode == 0, "".join(shown)
    assert "done 2/2" in shown[0]
    assert {"mlflow.db", "prefect.db"} <= {path.name for path in home.iterdir()}
    assert all(path.stat().st_mode & 0o600 == 0o600 for path in home.rglob("*"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("home")] == [home.name]


SHADOWS = (
    "random",
    "yaml",
    "numpy",
    "locale",
    "unicodedata",
    "tempfile",
    "logging",
    "threading",
    "json",
    "networkx",
)
"""Of Python's and of libraries': some are imported at once, some late, some by processes that are started."""


def flows_in(folder, *arguments, **environment):
    """The command line, as it is called in a folder that is not the project's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=folder,
        env={**kept, "FEDSTUDY_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
        text=True,
    )


def shadowed(folder):
    """A folder of a person's files that are called as libraries are; each says where that it was run."""
    for name in (*SHADOWS, "multiprocessing", "tasks", "federated", "prefect", "mlflow", "torch"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('{name} ')\n")
    (folder / "own.py").write_text(
        "def rows():\n    return [[i % 2.0, i % 3.0] for i in range(60)], [i % 2 for i in range(60)]\n"
    )
    (folder / "study.yaml").write_text(
        "name: s\nbase: {dataset: 'own:rows', model: logistic, clients: 4, rounds: 1}\nseeds: [0, 1]\n"
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", [f":{ROOT}", pytest.param(f"{ROOT}:.", marks=pytest.mark.nightly)])
@pytest.mark.nightly
def test_a_file_of_the_working_folder_takes_no_librarys_place(tmp_path, path):
    folder = shadowed(tmp_path)
    done = flows_in(folder, "preview", "study.yaml", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert not (folder / "ran").exists(), (folder / "ran").read_text()


@pytest.mark.slow
@pytest.mark.nightly
def test_nor_does_it_in_the_processes_that_are_started(tmp_path, new_databases):
    folder = shadowed(tmp_path)
    with_databases(folder / "home", new_databases)
    done = flows_in(folder, "run", "study.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "done 2/2" in done.stdout
    assert not (folder / "ran").exists(), (folder / "ran").read_text()


def test_the_search_path_keeps_what_is_not_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    entries = [str(tmp_path), "", ".", str(tmp_path / "lib"), str(tmp_path / "link"), "lib", "/elsewhere"]
    monkeypatch.chdir(tmp_path)
    assert without_working_folder(entries) == [str(tmp_path / "lib"), "lib", "/elsewhere"]
    monkeypatch.chdir(ROOT)
    assert without_working_folder(entries) == entries


@pytest.mark.slow
@pytest.mark.parametrize(
    "closed",
    ["<&- >&- 2>&-", *(pytest.param(each, marks=pytest.mark.nightly) for each in (">&-", "2>&-", "<&-"))],
)
@pytest.mark.parametrize(
    ("what", "code"), [("model", 0), pytest.param("nothing-of-this-name", 2, marks=pytest.mark.nightly)]
)
def test_a_closed_stream_changes_nothing_else(closed, what, code):
    command = f"exec {shlex.quote(sys.executable)} -m flows list {what} {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (code == 0 and ">&-" not in closed.split())
    assert bool(done.stderr) == (code == 2 and "2>&-" not in closed.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"PREFECT_CLIENT_MAX_RETRIES": "-1"}, "PREFECT_CLIENT_MAX_RETRIES: input should be greater than"),
        ({"PREFECT_HOME": "broken"}, "Prefect cannot read its settings (profiles.toml in PREFECT_HOME"),
        pytest.param(
            {"MLFLOW_HTTP_REQUEST_TIMEOUT": "soon"},
            "MLFLOW_HTTP_REQUEST_TIMEOUT: MLflow cannot use its value",
            marks=pytest.mark.nightly,
        ),
    ],
    ids=str,
)
def test_a_setting_of_a_library_that_is_none_is_one_line(tmp_path, new_databases, setting, said):
    with_databases(tmp_path / "home", new_databases)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "profiles.toml").write_text("[profiles.x\n")
    (tmp_path / "study.yaml").write_text(
        "name: s\nbase: {dataset: digits, model: logistic, clients: 4, rounds: 1}\nseeds: [0]\n"
    )
    done = flows_in(tmp_path, "run", "study.yaml", **setting)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"error: {said}")


def test_a_working_folder_that_was_removed_is_said_in_one_line(tmp_path):
    (tmp_path / "gone").mkdir()
    command = f"cd {tmp_path / 'gone'} && rmdir ../gone && exec {sys.executable} -m flows list model"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FEDSTUDY_HOME": "var"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: the working folder is not there any more; change to one that is\n"


def test_the_command_line_is_read_without_torch():
    """Loading torch takes seconds, and fails without a working folder; no command has been understood by then."""
    code = "import sys, flows.command_line; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_library_tells_its_makers_what_is_done_here_unless_a_person_wants_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in SWITCHED_OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    importlib.reload(flows)  # as a worker imports it
    wanted = {**SWITCHED_OFF, "RAY_USAGE_STATS_ENABLED": "1"}
    assert {name: os.environ.get(name) for name in SWITCHED_OFF} == wanted
