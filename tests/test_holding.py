"""What a server is told of a run together: nothing is held too long, overtaken or changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from requests import HTTPError

from tasks.tracking.delivery import record_kinds
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.fewer_requests import holding, read_back
from tasks.tracking.fewer_requests.uploads import upload
from tasks.tracking.runs import runs
from tests.conftest import Answer, Request, serving


@pytest.fixture(autouse=True)
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server, and a run at it that this process will end."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(holding, "_OPEN", {"a"})
    yield
    holding.due("", "")


def test_parameters_tags_and_metrics_of_a_run_go_together_before_what_must_come_after_them() -> None:
    assert holding.hold("a", "parameters", {"parameters": {"rounds": "3"}})
    assert holding.hold("a", "tags", {"tags": {"data": "x"}})
    assert holding.hold("a", "metrics", {"rows": [["loss", 1.0, 5, 1]]})
    assert holding.hold("a", "tags", {"tags": {"data": "y"}})  # the later value of a tag counts
    assert holding.due("files", "a") == holding.due("inputs", "a") == {}  # these may come first
    assert holding.due("model", "b") == {}
    expected = {"parameters": {"rounds": "3"}, "tags": {"data": "y"}, "rows": [["loss", 1.0, 5, 1]]}
    assert holding.due("model", "a") == {"a": expected}
    assert holding.due("end", "a") == {}


def test_what_is_said_of_runs_that_have_ended_or_end_elsewhere_goes_with_the_next_end_here() -> None:
    for run in ("study", "child", "beside"):
        holding.opened(run)
    assert holding.due("end", "child") == {}
    for run in ("child", "of another process", "beside"):
        assert holding.hold(run, "tags", {"tags": {"pareto": "front"}})
    assert not holding.hold_until_end("child", {"tags": {"late": "1"}})  # as nothing may come that sends it
    assert list(holding.due("end", "study")) == ["child", "of another process"]
    assert list(holding.due("conclude", "study")) == ["beside"]


def test_a_process_that_will_end_no_run_holds_nothing() -> None:
    assert holding.hold("a", "tags", {"tags": {"data": "x"}})
    assert list(holding.due("end", "a")) == ["a"]
    assert not holding.hold("a", "tags", {"tags": {"data": "x"}})


def test_what_is_refused_of_a_run_keeps_neither_the_rest_nor_the_end_from_being_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = list[tuple[str, str, str]]()

    def deliver(record: Record, files: Path | None, journal: Path) -> None:
        told.append((record.kind, record.run, record.content.get("status", "")))
        if record.run == "one":
            raise MlflowException("no", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(record_kinds, "deliver", deliver)
    for run in ("one", "two", "a"):
        runs.set_tags(run, {"data": "x"})
    with pytest.raises(MlflowException), runs.closing("a"):
        pass
    assert sorted(told[:3]) == [("batch", "a", ""), ("batch", "one", ""), ("batch", "two", "")]
    assert told[3:] == [("end", "a", "FAILED")]


def test_no_file_is_begun_after_one_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for at in range(20):
        (tmp_path / f"{at:02d}").write_text("x")
    asked = list[str]()

    def answer(request: Request) -> Answer:
        asked.append(request.path)
        if request.path.endswith("00"):
            return Answer(413)
        time.sleep(0.1)
        return Answer(200)

    with serving(answer) as address:
        to = HttpArtifactRepository(f"{address}/artifacts")
        with pytest.raises(HTTPError, match="413"):
            upload(to, tmp_path)
    assert len(asked) <= 8


def test_one_request_takes_what_is_held_and_a_parameter_keeps_its_value() -> None:
    assert holding.hold("a", "parameters", {"parameters": {"rounds": "3"}})
    assert holding.hold("a", "parameters", {"parameters": {"rounds": "3"}})
    assert not holding.hold("a", "parameters", {"parameters": {"rounds": "4"}})  # which MLflow is to refuse
    assert holding.hold("a", "metrics", {"rows": [["loss", 1.0, 5, at] for at in range(700)]})
    assert not holding.hold("a", "metrics", {"rows": [["loss", 1.0, 5, 700]]})
    assert not holding.hold("a", "tags", {"tags": {str(at): "" for at in range(91)}})
    assert len(holding.due("metrics", "a")["a"]["rows"]) == 700


def test_an_embedded_store_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not holding.hold("a", "tags", {"tags": {"data": "x"}})
    assert not holding.hold_until_end("a", {"tags": {"data": "x"}})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert not holding.hold("a", "files", {})
    assert holding.due("", "") == {}


def test_what_is_read_back_is_what_was_sent_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"first", b"second"):
        (tmp_path / "forecast.json").write_bytes(content)
        (tmp_path / "report.html").write_bytes(content)
        read_back.keep("here", "run", tmp_path)
    assert read_back.kept("here", "run", "forecast.json") == b"second"
    assert read_back.kept("there", "run", "forecast.json") is None
    assert read_back.kept("here", "run", "report.html") is None  # nobody reads it
    monkeypatch.setattr(read_back, "_MOST_BYTES", 5)
    read_back.keep("here", "other", tmp_path)
    assert read_back.kept("here", "run", "forecast.json") is None
