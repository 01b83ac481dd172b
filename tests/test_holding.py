"""What a server is told of a run together: nothing is held too long, overtaken or changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.tracking.fewer_requests import holding, read_back


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    yield
    holding.due("", "")
    holding._ENDED.clear()


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


def test_what_is_said_of_runs_that_have_ended_goes_with_the_end_of_their_study() -> None:
    assert holding.due("end", "child") == {}
    assert holding.hold("child", "tags", {"tags": {"pareto": "front"}})
    assert holding.hold("other", "tags", {"tags": {"verdict": "better"}})
    assert not holding.hold_until_end("child", {"tags": {"late": "1"}})  # as nothing may come that sends it
    assert list(holding.due("end", "study")) == ["child"]
    assert list(holding.due("conclude", "study")) == ["other"]


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
