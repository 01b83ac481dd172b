"""A run's history on its way into MLflow: the same rows as MLflow's own, errors said, nothing lost, in order."""

import math
import sqlite3
import threading
import time

import pytest
from mlflow.entities import Metric

from tasks.tracking.delivery import logged_model
from tasks.tracking.delivery import metrics as tables
from tasks.tracking.delivery.metrics import Measured, log_metrics
from tasks.tracking.runs import history as histories
from tasks.tracking.runs.history import HistoryWriter, log_history, recording
from tasks.tracking.server.store import connect, experiment_id
from tests.conftest import config_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("used_home")]  # each writes to a store of MLflow


@pytest.fixture
def run_id(home):
    client = connect()
    return client.create_run(experiment_id(client, "study")).info.run_id


def _rows(home, run_id, table):
    with sqlite3.connect(home / "mlflow.db") as database:
        columns = "key, value, timestamp, step, is_nan"
        found = database.execute(f"select {columns} from {table} where run_uuid = ?", [run_id])
        return sorted(found.fetchall())


BATCHES = [
    [Measured("a", 1.0, 10, 0), Measured("a", 2.0, 11, 1), Measured("b", math.nan, 10, 0)],
    [Measured("a", 2.0, 11, 1), Measured("c", math.inf, 12, 2), Measured("c", -math.inf, 12, 1)],
    [Measured("a", 5.0, 9, 0), Measured("b", 4.0, 9, 3), Measured("b", 3.0, 9, 3), Measured("d", 7, 1, 0)],
    [Measured("d", 8.0, 1, 0), Measured("d", 6.0, 1, 0), Measured("c", math.nan, 12, 2)],
    [],
]


def test_rows_are_those_that_mlflow_itself_writes(home, run_id):
    """Repeated, older and later values, NaN and infinities: both tables, as `log_batch` leaves them."""
    client = connect()
    other = client.create_run(experiment_id(client, "study")).info.run_id
    for batch in BATCHES:
        log_metrics(run_id, batch)
        client.log_batch(other, metrics=[Metric(*measured) for measured in batch])
    for table in ("metrics", "latest_metrics"):
        assert _rows(home, run_id, table) == _rows(home, other, table) != []


def test_a_model_is_finished_as_mlflow_itself_does_it(home, tmp_path, monkeypatch):
    client = connect()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}", encoding="utf-8")
    found = []
    for by_mlflow in (False, True):
        run_id = client.create_run(experiment_id(client, "study")).info.run_id
        client.log_param(run_id, "rounds", 3)
        rows = [Measured("a", 0.5, 10, 3), Measured("b", -math.inf, 11, 3), Measured("c", 1.0, 9, 2)]
        rows.append(Measured("diverged", math.nan, 12, 3))
        log_metrics(run_id, rows)
        if by_mlflow:
            monkeypatch.setattr(logged_model, "is_sqlite", lambda uri: False)
        logged_model.deliver_model(client, run_id, tmp_path / "model", 3)
        (output,) = client.get_run(run_id).outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        measured = sorted((one.key, one.value, one.timestamp, one.step) for one in model.metrics)
        assert {one.run_id for one in model.metrics} == {run_id}
        assert model.last_updated_timestamp >= model.creation_timestamp
        found.append((output.step, str(model.status), model.params, measured))
    assert found[0] == found[1]
    assert found[0][:3] == (3, "READY", {"rounds": "3"})
    assert [row[0] for row in found[0][3]] == ["a", "b"]
    model.to_proto()  # as every answer of a server has it


def test_a_write_is_whole_or_not_at_all(home, run_id):
    log_metrics(run_id, [Measured("a", 1.0, 10, 0)])
    with pytest.raises(TypeError):
        log_metrics(run_id, [Measured("b", 1.0, 10, 0), Measured("c", "high", 10, 0)])
    assert [row[0] for row in _rows(home, run_id, "metrics")] == ["a"]


def test_a_server_gets_batches_that_it_takes(monkeypatch, run_id):
    batches = []
    monkeypatch.setattr(tables, "tracking_uri", lambda: "http://127.0.0.1:9")
    monkeypatch.setattr(
        tables,
        "connect",
        lambda: type("Client", (), {"log_batch": lambda self, _, metrics: batches.append(metrics)})(),
    )
    log_metrics(run_id, [Measured("a", float(at), 10, at) for at in range(2500)])
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert [metric.step for batch in batches for metric in batch] == list(range(2500))


def _history(rounds):
    return [(at, {"train/loss": 1.0 / at, "train/cohort_clients": 3.0}) for at in range(1, rounds + 1)]


def _logged(run_id, name="train/loss"):
    return [(metric.step, metric.value) for metric in connect().get_metric_history(run_id, name)]


def test_everything_told_is_in_mlflow_at_the_end_in_the_order_of_rounds(monkeypatch, run_id):
    monkeypatch.setattr(histories, "_SECONDS_BETWEEN_WRITES", 0.01)
    history = _history(60)
    with recording(run_id, config_of()) as record:
        for told in range(1, 61):
            record(history[:told])
            time.sleep(0.001)
    assert _logged(run_id) == [(at, metrics["train/loss"]) for at, metrics in history]


def test_short_rounds_are_written_once_a_second_and_training_does_not_wait(monkeypatch, run_id):
    writes = []
    all_told = threading.Event()

    def slow(run_id, fresh, times):
        assert all_told.wait(60), "training waits for what is written"
        writes.append([step for step, _ in fresh])

    monkeypatch.setattr(histories, "log_history", slow)
    record = HistoryWriter(run_id, config_of())
    for told in range(1, 31):
        record(_history(told))
    all_told.set()
    record.close()
    assert writes == [[1], list(range(2, 31))]


@pytest.mark.parametrize("when", ["while training goes on", "at the end"])
def test_a_write_that_fails_is_raised_and_what_it_held_is_written_once(monkeypatch, home, run_id, when):
    monkeypatch.setattr(histories, "_SECONDS_BETWEEN_WRITES", 0.0)
    failing = [OSError("the disk is full")]

    def fails_once(run_id, fresh, times):
        if failing:
            log_history(run_id, fresh[:1], times[:1])  # some of it arrives
            raise failing.pop()
        log_history(run_id, fresh, times)

    monkeypatch.setattr(histories, "log_history", fails_once)
    history = _history(20)

    def train():
        with recording(run_id, config_of()) as record:
            record(history[:5])
            if when == "while training goes on":
                time.sleep(0.5)
                record(history)

    with pytest.raises(OSError, match="the disk is full"):
        train()
    told = 20 if when == "while training goes on" else 5
    assert _logged(run_id)[:told] == [(at, metrics["train/loss"]) for at, metrics in history][:told]
    assert len({row[0::3] for row in _rows(home, run_id, "metrics")}) == len(_rows(home, run_id, "metrics"))
