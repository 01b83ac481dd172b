"""What comes with the installation: a home begins with it where it is there, and does without where it is not."""

import sqlite3
import sys
from contextlib import closing

import pytest

from federated.machine.folders import of_installation
from federated.report.page import scripts
from flows.prefect_runtime.kept_tables import provide_tables
from tasks.tracking.server import store


@pytest.fixture(autouse=True)
def installation(tmp_path, monkeypatch):
    """An installation that keeps nothing yet."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "installation"))


def _keep(package, name, content):
    file = of_installation(package, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _tables(version="a"):
    """A database as Alembic leaves it, as bytes."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES (?)", [version])
        database.commit()
        return database.serialize()


def _schema(file):
    """What is in a database; Alembic writes the constraints of a table in one order or another."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return sorted((*named, sorted((sql or "").replace("\n)", "").split(", \n\t"))) for *named, sql in rows)


def test_a_new_database_of_prefect_begins_with_the_tables_that_are_kept(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    url = f"sqlite+aiosqlite:///{home / 'prefect.db'}"
    provide_tables(url)
    assert list(home.iterdir()) == []
    _keep("prefect", "tables.db", _tables())
    provide_tables(url)
    assert [file.name for file in home.iterdir()] == ["prefect.db"]
    assert (home / "prefect.db").read_bytes() == _tables()


@pytest.mark.parametrize(
    "damaged", [b"", b"tables", _tables()[:5000], bytes(4096)], ids=["empty", "text", "cut", "zeros"]
)
def test_damaged_tables_are_given_to_no_home(tmp_path, damaged):
    _keep("prefect", "tables.db", damaged)
    provide_tables(f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}")
    assert [file.name for file in tmp_path.iterdir()] == ["installation"]


@pytest.mark.parametrize("left", ["prefect.db-wal", "prefect.db-journal"])
def test_what_is_left_of_a_database_that_was_moved_away_meets_no_new_one(tmp_path, left):
    _keep("prefect", "tables.db", _tables())
    (tmp_path / left).write_bytes(b"what came last")
    provide_tables(f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}")
    assert not (tmp_path / "prefect.db").exists()


def test_a_database_in_memory_is_no_file(tmp_path, monkeypatch):
    _keep("prefect", "tables.db", _tables())
    monkeypatch.chdir(tmp_path)
    provide_tables("sqlite+aiosqlite:///:memory:")
    assert [file.name for file in tmp_path.iterdir()] == ["installation"]


def test_a_database_of_prefect_that_is_there_or_elsewhere_is_left_alone(tmp_path):
    _keep("prefect", "tables.db", _tables())
    file = tmp_path / "prefect.db"
    file.write_bytes(b"flows")
    for url in (f"sqlite+aiosqlite:///{file}", "postgresql+asyncpg://there/prefect", ""):
        provide_tables(url)
    assert file.read_bytes() == b"flows"


@pytest.mark.slow
def test_a_store_is_the_same_with_tables_that_are_kept_and_without(tmp_path, monkeypatch, new_databases):
    def begun(name):
        monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / name))
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # where MLflow keeps the address before
        experiments = store.connect().search_experiments()
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        said = [(each.experiment_id, each.name, each.artifact_location) for each in experiments]
        return said, _schema(tmp_path / name / "mlflow.db")

    without = begun("without")
    _keep("mlflow", "tables.db", (new_databases / "mlflow.db").read_bytes())
    assert begun("with") == without
    _keep("mlflow", "tables.db", (new_databases / "mlflow.db").read_bytes()[:20_000])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "mlflow.db-journal").write_bytes(b"of one that was moved away")
    assert begun("damaged") == without


def test_the_script_of_the_charts_is_read_where_it_is_kept():
    _keep("vl-convert-python", "vega.js", b"window.vegaEmbed")
    assert scripts.vega.__wrapped__() == "window.vegaEmbed"
    _keep("vl-convert-python", "vega.js", b"")
    assert len(scripts.vega.__wrapped__()) > 100_000
